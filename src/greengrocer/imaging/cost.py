"""What decoding an image takes of memory and of time, by its header: upper bounds.

The sums follow what the decoders allocate; ``tests/imaging/test_memory.py`` measures real
processes against them.
"""

from greengrocer.imaging import jpeg, png
from greengrocer.imaging.colour import BAND, FORMS
from greengrocer.imaging.formats import Format, Header

FIXED = 2_000_000  # bytes: the decoder's own
WEBP_SECONDS = 25e-9, 40e-9  # a pixel and a byte of the file take, at most (measured)
STILL_SECONDS = 55e-9, 80e-9  # likewise, of what is decoded of a HEIC or AVIF
DEEP_STILL_SECONDS = 95e-9, 80e-9  # likewise, of more than 8 bits a sample
STILL_BYTES = 18  # that a pixel of those takes besides the result (measured)

_ROW = 8  # bytes of a pointer to it
_RGB = 4  # bytes of a pixel, the fourth of which is unused
_BICUBIC = 32  # bytes of weights that each row and each column takes where it is squeezed


def decode_bytes(data: bytes, header: Header, target: tuple[int, int] | None) -> int:
    """What ``decode`` holds at its peak besides ``data``; raises UnreadableImage."""
    size = header.width, header.height
    match header.format:
        case Format.PNG:
            layout = png.layout(data)
            row = -(-header.width * layout.depth * layout.channels // 8)
            stored = _image(size, 1 if layout.channels == 1 and layout.depth < 16 else _RGB)
            return FIXED + stored + max(2 * row, rgb_bytes(size) + _part(size))
        case Format.WEBP:
            # Twice the canvas, its frame as bytes and as an image; then the result for the frame
            frames = 3 * _RGB * header.pixels
            return FIXED + 3 * len(data) + frames + rgb_bytes(size) + _part(size)
        case Format.HEIC | Format.AVIF:
            # Planes of 16 bit, turned ones, their colours as bytes and as an image; two files
            return (
                FIXED + 2 * len(data) + STILL_BYTES * header.pixels + rgb_bytes(size) + _part(size)
            )
        case Format.JPEG:
            return FIXED + _jpeg(data, size, target)


def _jpeg(data: bytes, size: tuple[int, int], target: tuple[int, int] | None) -> int:
    frame = jpeg.read_frame(data)
    whole = 0
    if jpeg.may_lack_end(memoryview(data)[frame.scan :]):  # it is looked whether pixels are missing
        whole = 2 * len(data) + _image(size, _RGB) + _part(size)
    scaled = size if target is None else scaled_size(size, target)
    rows = 64 * 4 * size[0]  # some rows of each of four planes, in several stages
    pixels = _image(scaled, _RGB) + rgb_bytes(scaled) + _part(scaled)
    return rows + frame.coefficient_bytes + max(whole, pixels)


def scaled_size(size: tuple[int, int], target: tuple[int, int]) -> tuple[int, int]:
    """To which a JPEG of ``size`` is decoded for ``target``, held either way, at most."""
    scale = min(jpeg.scale(size, target), jpeg.scale(size, target[::-1]))
    return -(-size[0] // scale), -(-size[1] // scale)


def _part(size: tuple[int, int]) -> int:
    """Of the part whose colours are being changed."""
    return FORMS * min(size[0] * size[1], BAND)


def fit_bytes(size: tuple[int, int], target: tuple[int, int]) -> int:
    """What ``fit`` holds at its peak of an image of ``size``, itself included.

    It is squeezed along one side and then along the other, in the order that costs less.
    """
    width, height = size
    between = min(_image((target[0], height), _RGB), _image((width, target[1]), _RGB))
    left = _part(size)  # which the allocator may not have given back
    return FIXED + left + rgb_bytes(size) + between + _BICUBIC * (width + height)


def rgb_bytes(size: tuple[int, int]) -> int:
    """Of an RGB image of ``size``, upright or turned."""
    return max(_image(size, _RGB), _image(size[::-1], _RGB))


def _image(size: tuple[int, int], pixel: int) -> int:
    row = -(-size[0] * pixel // 4) * 4
    return size[1] * (row + _ROW)


def webp_seconds(pixels: int, length: int) -> float:
    """What the one call that decodes a WebP of ``length`` bytes takes of a processor, at most."""
    pixel, byte = WEBP_SECONDS
    return pixel * pixels + byte * length


def still_seconds(pixels: int, length: int, *, deep: bool) -> float:
    """What the one call that decodes a HEIC or AVIF takes of a processor, at most.

    ``pixels`` and ``length``, in bytes, are of all that is decoded: transparency counts as pixels,
    and a tile as often as it is shown. ``deep``: samples have more than 8 bits.
    """
    pixel, byte = DEEP_STILL_SECONDS if deep else STILL_SECONDS
    return pixel * pixels + byte * length
