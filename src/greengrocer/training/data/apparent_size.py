"""An image as from farther away or from nearer: objects look smaller or larger in its frame."""

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from greengrocer.imaging.geometry import Pixels

BORDER = 1 / 8  # of a side: as much is mirrored again and again, for objects lie further inside
BLUR = 1 / 12  # of the shorter side: radius of the blur, which leaves light and colour


def at_apparent_size(pixels: Pixels, size: float) -> Pixels:
    """A frame, uint8 [h, w, 3], in which ``pixels``, uint8 [H, W, 3], are ``size`` times as large.

    h and w are H and W over ``size``: scaled to one input, what both show differs by that factor.
    Below 1 the image lies in the middle of its own border, mirrored and blurred. Above 1 it is the
    middle of the image. At 1 it is the image.
    """
    height, width = (max(1, round(side / size)) for side in pixels.shape[:2])
    if size >= 1:
        top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
        return pixels[top : top + height, left : left + width]
    top, left = (height - pixels.shape[0]) // 2, (width - pixels.shape[1]) // 2
    mirrored = pixels[_mirrored(pixels.shape[0], top, height)]
    mirrored = mirrored[:, _mirrored(pixels.shape[1], left, width)]
    blur = ImageFilter.GaussianBlur(BLUR * min(pixels.shape[:2]))
    frame = np.array(Image.fromarray(mirrored).filter(blur))
    frame[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return frame


def _mirrored(side: int, before: int, length: int) -> npt.NDArray[np.int64]:
    """Indices [length] of 0 to ``side`` - 1, from place ``before``, amid those of its borders."""
    border = max(1, round(BORDER * side))
    beyond = np.arange(length) % (2 * border)
    inwards = np.minimum(beyond, 2 * border - 1 - beyond)
    after = side - 1 - inwards[: length - side - before]
    return np.concatenate([inwards[:before][::-1], np.arange(side), after])
