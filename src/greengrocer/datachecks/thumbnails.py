"""The little of each image that the checks look at: about 5 KB an image."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from greengrocer.datachecks.taken import read_taken
from greengrocer.imaging.decode import Size

GREY = 64  # pixels of a side of the grey thumbnail: enough to tell a copy from another photo
COLOUR = 8  # pixels of a side of the colours: enough to tell a green pepper from a red one
LOOKED_AT = 256  # pixels of the longer side on which sharpness is measured
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # BT.601

Bytes: TypeAlias = NDArray[np.uint8]
Numbers: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Thumbnails:
    """What the checks see of N images, upright, each squeezed into a square."""

    sizes: NDArray[np.int32]  # [N, 2]: width and height in pixels, as stored
    grey: Bytes  # [N, 64, 64]
    colour: Bytes  # [N, 8, 8, 3]
    blur: Numbers  # [N]: 0 is sharp, 1 is blurred
    taken: NDArray[np.float64]  # [N]: the camera's time in seconds, NaN where the file has none

    def __len__(self) -> int:
        return len(self.grey)

    def add(self, index: int, size: Size, data: bytes, image: Image.Image) -> None:
        """Fill the row ``index``: of the file ``data``, whose upright ``image`` was decoded.

        ``size`` is the stored one. The image may have been decoded at a smaller scale; below 256
        pixels its sharpness is measured on what is there.
        """
        self.sizes[index] = size
        square = image.resize((GREY, GREY), Image.Resampling.BOX)
        self.grey[index] = np.rint(np.asarray(square, np.float32) @ LUMA).astype(np.uint8)
        self.colour[index] = np.asarray(square.resize((COLOUR, COLOUR), Image.Resampling.BOX))
        self.blur[index] = blur(_for_sharpness(image))
        self.taken[index] = read_taken(data)

    def rows(self, rows: Sequence[int]) -> "Thumbnails":
        """Those of ``rows`` alone, in that order."""
        at = np.asarray(rows, np.int64)
        return Thumbnails(
            self.sizes[at], self.grey[at], self.colour[at], self.blur[at], self.taken[at]
        )


def blank_thumbnails(count: int) -> Thumbnails:
    """Thumbnails of ``count`` images, to be filled."""
    return Thumbnails(
        sizes=np.zeros((count, 2), np.int32),
        grey=np.zeros((count, GREY, GREY), np.uint8),
        colour=np.zeros((count, COLOUR, COLOUR, 3), np.uint8),
        blur=np.zeros(count, np.float32),
        taken=np.full(count, np.nan),
    )


def _for_sharpness(image: Image.Image) -> Numbers:
    """Its greys [H, W] with a longer side of at most 256 pixels; a small image keeps its pixels."""
    small = image
    if max(image.size) > LOOKED_AT:
        small = ImageOps.contain(image, (LOOKED_AT, LOOKED_AT), Image.Resampling.BOX)
    return np.asarray(small, np.float32) @ LUMA


def blur(grey: Numbers) -> float:
    """How blurred an image is, 0 to 1, whatever it shows.

    It is blurred once more: a sharp image loses much of its variation between neighbours, a blurred
    one has none to lose. Crete et al., "The blur effect: perception and estimation with a new
    no-reference perceptual blur metric", SPIE 2007. ``grey`` is float32 [H, W].
    """
    return max(_blur_along(grey), _blur_along(grey.T))


def _blur_along(grey: Numbers, reach: int = 4) -> float:
    """The share of the variation down the columns that a mean over 9 rows leaves."""
    width = 2 * reach + 1
    if len(grey) < 2 * width:
        return 0.0
    padded = np.pad(grey, ((reach, reach), (0, 0)), mode="edge")
    # One step of the running mean: what comes in less what goes out.
    smooth_steps = np.abs(padded[width:] - padded[:-width]) / width
    sharp_steps = np.abs(np.diff(grey, axis=0))
    lost = float(np.maximum(sharp_steps - smooth_steps, 0).sum())
    whole = float(sharp_steps.sum())
    return 0.0 if whole == 0 else 1 - lost / whole
