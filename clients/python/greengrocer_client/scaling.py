"""Make images smaller, and encode them. It needs Pillow, the extra ``pillow``."""

import io
import struct

from PIL import Image, ImageOps

FORMATS = ("JPEG", "PNG", "WEBP")  # those that every service takes
# What Pillow's decoders raise for a damaged file.
DAMAGED = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)
QUALITY = 90  # of a JPEG
AS_JPEG = frozenset({"L", "RGB"})
AS_PNG = frozenset({"1", "LA", "P", "RGBA"})  # JPEG has no alpha, no palette and 8 bit
PALETTES = frozenset({"1", "P", "PA"})  # modes that cannot be resized smoothly
ONE_COLOUR = frozenset({"1", "L", "RGB"})  # modes in which a PNG may name a transparent colour


class UnknownRange(ValueError):
    """An image has numbers of which nobody knows which are black and white."""


def smaller(file: bytes, side: int) -> bytes:
    """The image of ``file`` with no side longer than ``side`` pixels, upright.

    What is small enough is returned as it is; so is another format than ``FORMATS``, and what
    Pillow cannot read or would falsify: the service decides.
    """
    try:
        with Image.open(io.BytesIO(file), formats=FORMATS) as image:
            if max(image.size) <= side or _misreads_transparency(image, file):
                return file
            image.draft(None, (2 * side, 2 * side))  # a JPEG is decoded at a fraction of its size
            return encoded(image, side)
    except DAMAGED:
        return file


def encoded(image: Image.Image, side: int | None = None) -> bytes:
    """``image`` as a file, upright: a JPEG, or a PNG where a JPEG cannot hold it.

    With ``side``, no side is longer than so many pixels. 16-bit grey becomes 8-bit, as in the
    service. ``image`` is not changed. Raises UnknownRange, and one of ``DAMAGED``.
    """
    shrinks = side is not None and max(image.size) > side
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
        image = _in_8_bits(image)
    elif image.mode in ("I", "F"):
        raise UnknownRange(
            f"a Pillow image of mode {image.mode} does not say which numbers are black and white: "
            "scale it to 0 to 255 and convert it to mode L"
        )
    if (image.mode in ONE_COLOUR and image.has_transparency_data) or (
        shrinks and image.mode in PALETTES
    ):
        image = _full(image)
    if side is not None and shrinks:
        image = ImageOps.contain(image, (side, side))
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


def _in_8_bits(image: Image.Image) -> Image.Image:
    """A 16-bit grey image in mode L, or LA where it has a transparent level."""
    deep, clear = image.convert("I"), image.info.get("transparency")
    grey = deep.point([(level + 128) // 257 for level in range(1 << 16)], "L")
    if clear is not None:
        grey.putalpha(deep.point([255 * (level != clear) for level in range(1 << 16)], "L"))
        del grey.info["transparency"]
    return grey


def _misreads_transparency(image: Image.Image, file: bytes) -> bool:
    """Whether Pillow has the pixels of a PNG in 8 bits, but not the transparent colour."""
    return (
        image.format == "PNG"
        and image.mode in ("L", "RGB")
        and "transparency" in image.info
        and file[24] != 8  # bits of a sample
    )
