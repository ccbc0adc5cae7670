"""Upper bounds on the memory and processor time of decoding an image, from its header.

The sums follow the allocations of the decoders; ``tests/imaging/test_memory.py`` measures real
processes against them.
"""

from greengrocer.imaging import jpeg, png
from greengrocer.imaging.colour import BAND, BAND_BYTES
from greengrocer.imaging.formats import Format, Header

FIXED = 2_000_000  # bytes that a decoder takes for any image
WEBP_SECONDS = 25e-9, 40e-9  # for a pixel and for a byte of the file, at most (measured)
JPEG_SECONDS = 6e-9, 12e-9  # likewise, of a JPEG
JPEG_SCAN_SECONDS = 1e-9  # for a pixel in each scan, where there are several
HEIF_SECONDS = 55e-9, 80e-9  # likewise, of a HEIC or AVIF
DEEP_HEIF_SECONDS = 95e-9, 80e-9  # likewise, of more than 8 bits a sample
HEIF_BYTES = 18  # that a pixel of a HEIC or AVIF takes besides the result (measured)

_ROW = 8  # bytes of the pointer to a row
_RGB = 4  # bytes of a pixel, the fourth of which is unused
_LANCZOS = 48  # bytes of weights that each row and each column takes where it is squeezed, at most


def decode_bytes(data: bytes | memoryview, header: Header) -> int:
    """Bytes that decoding any format but JPEG holds at its peak besides ``data``.

    Raises UnreadableImage.
    """
    size = header.width, header.height
    result = rgb_bytes(size) + _band(size)
    if header.format is Format.PNG:
        layout = png.read_layout(data)
        row = -(-header.width * layout.depth * layout.channels // 8)
        stored = _image(size, 1 if layout.channels == 1 and layout.depth < 16 else _RGB)
        return FIXED + stored + max(2 * row, result)
    if header.format is Format.WEBP:
        # Twice the canvas, its frame as bytes and as an image; then the result for the frame
        return FIXED + 3 * len(data) + 3 * _RGB * header.pixels + result
    # HEIC and AVIF: planes of 16 bit, turned ones, colours as bytes and as an image; two files
    return FIXED + 2 * len(data) + HEIF_BYTES * header.pixels + result


def jpeg_bytes(
    length: int, image: jpeg.Jpeg, size: tuple[int, int], target: tuple[int, int] | None
) -> int:
    """The same for a JPEG of ``length`` bytes that is decoded for ``target``."""
    whole = 0
    if image.may_lack_end:  # then it is decoded at full size too, to see whether pixels are missing
        whole = 2 * length + _image(size, _RGB) + _band(size)
    scaled = size if target is None else scaled_size(size, target)
    rows = 64 * 4 * size[0]  # some rows of each of four planes, in several stages
    pixels = _image(scaled, _RGB) + rgb_bytes(scaled) + _band(scaled)
    return FIXED + rows + image.coefficient_bytes + max(whole, pixels)


def scaled_size(size: tuple[int, int], target: tuple[int, int]) -> tuple[int, int]:
    """The largest size to which a JPEG of ``size`` is decoded for ``target``, upright or turned."""
    scale = min(jpeg.scale(size, target), jpeg.scale(size, target[::-1]))
    return -(-size[0] // scale), -(-size[1] // scale)


def _band(size: tuple[int, int]) -> int:
    """Bytes of the band whose colours are being converted."""
    return BAND_BYTES * min(size[0] * size[1], BAND)


def fit_bytes(size: tuple[int, int], target: tuple[int, int]) -> int:
    """Bytes that ``fit`` holds at its peak for an image of ``size``, the image included.

    Pillow resizes along one side and then along the other, in the order that costs less.
    """
    width, height = size
    between = min(_image((target[0], height), _RGB), _image((width, target[1]), _RGB))
    left = _band(size)  # which the allocator may not have given back
    return FIXED + left + rgb_bytes(size) + between + _LANCZOS * (width + height)


def rgb_bytes(size: tuple[int, int]) -> int:
    """Bytes of an RGB image of ``size``, upright or turned."""
    return max(_image(size, _RGB), _image(size[::-1], _RGB))


def _image(size: tuple[int, int], pixel: int) -> int:
    row = -(-size[0] * pixel // 4) * 4
    return size[1] * (row + _ROW)


def jpeg_seconds(pixels: int, length: int, scans: int) -> float:
    """The most processor time that decoding a JPEG of ``length`` bytes takes, at any scale."""
    pixel, byte = JPEG_SECONDS
    visited = scans * pixels if scans > 1 else 0
    return pixel * pixels + byte * length + JPEG_SCAN_SECONDS * visited


def webp_seconds(pixels: int, length: int) -> float:
    """The most processor time that decoding a WebP of ``length`` bytes takes, in one call."""
    pixel, byte = WEBP_SECONDS
    return pixel * pixels + byte * length


def heif_seconds(pixels: int, length: int, *, deep: bool) -> float:
    """The most processor time that decoding a HEIC or AVIF takes, in one call.

    ``pixels`` and ``length``, in bytes, are of all that is decoded: alpha counts as pixels, and a
    tile as often as it is shown. ``deep``: samples have more than 8 bits.
    """
    pixel, byte = DEEP_HEIF_SECONDS if deep else HEIF_SECONDS
    return pixel * pixels + byte * length
