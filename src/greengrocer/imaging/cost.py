"""What decoding a picture takes of memory and of time, by its header: upper bounds.

The sums follow what the decoders allocate; ``tests/imaging/test_memory.py`` measures real
processes against them.
"""

from greengrocer.imaging import jpeg, png
from greengrocer.imaging.colour import BAND_BYTES
from greengrocer.imaging.formats import Format, Header

FIXED = 8_000_000 + BAND_BYTES  # bytes: the decoder's own, and the parts in which colours change
WEBP_SECONDS = 35e-9, 35e-9  # a pixel and a byte of the file take, at most (measured)

_ROW = 8  # bytes of a pointer to it
_RGB = 4  # bytes of a pixel, the fourth of which is unused
_BICUBIC = 32  # bytes of weights that each row and each column takes where it is squeezed
LONG = 1 << 15  # rows: a picture that has more is squeezed along them first


def decode_bytes(data: bytes, header: Header, target: tuple[int, int] | None) -> int:
    """What ``decode`` holds at its peak besides ``data``; raises UnreadablePicture."""
    size = header.width, header.height
    match header.format:
        case Format.PNG:
            layout = png.layout(data)
            row = -(-header.width * layout.depth * layout.channels // 8)
            stored = _image(size, 1 if layout.channels == 1 and layout.depth < 16 else _RGB)
            return FIXED + stored + max(2 * row, rgb_bytes(size))
        case Format.WEBP:
            # Twice the canvas, its frame as bytes and as a picture; then the result for the frame
            return FIXED + 3 * len(data) + 3 * _RGB * header.pixels + rgb_bytes(size)
        case Format.JPEG:
            return FIXED + _jpeg(data, size, target)


def _jpeg(data: bytes, size: tuple[int, int], target: tuple[int, int] | None) -> int:
    frame = jpeg.read_frame(data)
    scale = 1  # a file that may have no end is decoded whole, to see whether pixels are missing
    if target is not None and not jpeg.may_lack_end(memoryview(data)[frame.scan :]):
        scale = min(jpeg.scale(size, target), jpeg.scale(size, target[::-1]))
    scaled = -(-size[0] // scale), -(-size[1] // scale)
    rows = 64 * 4 * size[0]  # some rows of each of four planes, in several stages
    return rows + frame.coefficient_bytes + _image(scaled, _RGB) + rgb_bytes(scaled)


def fit_bytes(size: tuple[int, int], target: tuple[int, int]) -> int:
    """What ``fit`` holds at its peak of a picture of ``size``, itself included."""
    width, height = size
    between = _image((target[0], min(height, LONG)), _RGB)
    if height > LONG:
        between = max(between, _image((width, target[1]), _RGB))
    return FIXED + rgb_bytes(size) + between + _BICUBIC * (width + height)


def rgb_bytes(size: tuple[int, int]) -> int:
    """Of an RGB picture of ``size``, upright or turned."""
    return max(_image(size, _RGB), _image(size[::-1], _RGB))


def _image(size: tuple[int, int], pixel: int) -> int:
    row = -(-size[0] * pixel // 4) * 4
    return size[1] * (row + _ROW)


def webp_seconds(pixels: int, length: int) -> float:
    """What the one call that decodes a WebP of ``length`` bytes takes of a processor, at most."""
    pixel, byte = WEBP_SECONDS
    return pixel * pixels + byte * length
