"""Convert a decoded image to upright RGB, band by band.

EXIF orientation is applied, alpha is composited over white, 16 bit is scaled to 8, palettes, grey
and CMYK are converted. Besides the image and the result only one band is in memory.
"""

from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

from greengrocer.imaging.exif import UPRIGHT

BAND = 1 << 18  # pixels that are converted at a time
BAND_BYTES = 32  # that a pixel of a band takes in all modes between the image and the result

Box = tuple[int, int, int, int]

_ORIENTATIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_FROM_RIGHT, _FROM_BOTTOM = (2, 3, 6, 7), (3, 4, 7, 8)  # orientations that begin there


def upright_rgb(image: Image.Image, orientation: int, check: Callable[[], None]) -> Image.Image:
    """``image`` in RGB, turned by EXIF's ``orientation`` (1 to 8); itself, if it already is.

    ``check`` is called before each band, and may raise to stop.
    """
    is_rgb = image.mode == "RGB" and "transparency" not in image.info
    if is_rgb and orientation == UPRIGHT:
        return image
    width, height = image.size
    turned = (height, width) if orientation >= 5 else (width, height)
    rgb = Image.new("RGB", turned)
    for box in bands(width, height):
        check()
        band = _to_rgb(image.crop(box))
        if orientation != UPRIGHT:
            band = band.transpose(_ORIENTATIONS[orientation])
        rgb.paste(band, _place(box, turned, orientation))
    return rgb


def bands(width: int, height: int) -> Iterator[Box]:
    """Boxes of at most BAND pixels that cover an image of any shape."""
    across = min(width, BAND)
    down = max(1, BAND // across)
    for top in range(0, height, down):
        for left in range(0, width, across):
            yield left, top, min(left + across, width), min(top + down, height)


def _place(box: Box, turned: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Where the left upper corner of the box is after turning."""
    left, top, right, bottom = box
    width, height = turned
    if orientation >= 5:
        left, top, right, bottom = top, left, bottom, right
    return (
        width - right if orientation in _FROM_RIGHT else left,
        height - bottom if orientation in _FROM_BOTTOM else top,
    )


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        deep = np.asarray(image).astype(np.uint32).clip(0, 65535)
        grey = ((deep + 128) // 257).astype(np.uint8)
        if "transparency" in image.info:
            grey[deep == image.info["transparency"]] = 255
        return Image.fromarray(grey).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    white = Image.new("RGBA", layer.size, "white")
    return Image.alpha_composite(white, layer).convert("RGB")
