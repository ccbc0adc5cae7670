"""Make images smaller, and encode them. It needs Pillow, the extra ``pillow``."""

import io
import struct

from PIL import Image, ImageOps

QUALITY = 90  # of a JPEG
AS_JPEG = frozenset({"L", "RGB"})
AS_PNG = frozenset({"1", "I;16", "LA", "P", "RGBA"})  # JPEG has no alpha, no palette and 8 bit
PALETTES = frozenset({"1", "P", "PA"})  # modes that cannot be resized smoothly


def smaller(file: bytes, side: int) -> bytes:
    """The image of ``file`` with no side longer than ``side`` pixels, upright.

    What is small enough is returned as it is; so is what Pillow cannot read: the service decides.
    """
    try:
        with Image.open(io.BytesIO(file)) as image:
            if max(image.size) <= side:
                return file
            image.draft(None, (2 * side, 2 * side))  # a JPEG is decoded at a fraction of its size
            return encoded(image, side)
    # what Pillow's decoders raise for a damaged file
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError):
        return file


def encoded(image: Image.Image, side: int | None = None) -> bytes:
    """``image`` as a file, upright: a JPEG, or a PNG where a JPEG cannot hold it.

    With ``side``, no side is longer than so many pixels. ``image`` is not changed.
    """
    if side is not None and max(image.size) > side:
        image = ImageOps.contain(_full(image) if image.mode in PALETTES else image, (side, side))
    image = ImageOps.exif_transpose(image)
    if image.mode not in AS_JPEG | AS_PNG:
        image = _full(image)
    out = io.BytesIO()
    if image.mode in AS_JPEG:
        image.save(out, "JPEG", quality=QUALITY)
    else:
        image.save(out, "PNG")
    return out.getvalue()


def _full(image: Image.Image) -> Image.Image:
    """``image`` in full colours, with alpha where it has any."""
    return image.convert("RGBA" if image.has_transparency_data else "RGB")
