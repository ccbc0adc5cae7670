"""Decode a JPEG with Pillow's decoder, libjpeg-turbo, which reads the file where it lies.

``Image.load`` would copy it twice, in pieces of 64 KiB, and take the interpreter's lock for each.
"""

from collections.abc import Callable, Iterator, Sequence

from PIL import Image, _imaging

from greengrocer.errors import UnreadableImage

# By the number of components: Pillow's mode, and how its decoder writes that.
MODES = {1: ("L", "L"), 3: ("RGB", "RGB"), 4: ("CMYK", "CMYK;I")}
PIECE = 1 << 16  # bytes that are decoded between two checks of the clock, if it is to be checked


def decode_jpeg(
    parts: Sequence[bytes | memoryview],
    components: int,
    size: tuple[int, int],
    scale: int,
    check: Callable[[], None],
    *,
    at_once: bool,
) -> Image.Image:
    """The image, at 1/``scale`` of ``size`` (width, height, in pixels), rounded up.

    ``parts`` are the file's, the last one its scans. ``at_once``, those are decoded in one call,
    without the interpreter's lock. Else ``check``, which may raise to stop, is called every 64 KiB.
    Raises UnreadableImage, and what ``check`` raises.
    """
    mode, written = MODES[components]
    width, height = (-(-side // scale) for side in size)
    image = Image.new(mode, (width, height), None)
    decoder = _imaging.jpeg_decoder(mode, written, "", scale, 0)
    try:
        decoder.setimage(image.im, (0, 0, width, height))
        _feed(decoder.decode, _pieces(parts, at_once), check)
    finally:
        decoder.cleanup()
    return image


def _pieces(parts: Sequence[bytes | memoryview], at_once: bool) -> Iterator[bytes | memoryview]:
    for part in (b"".join(parts[:-1]), parts[-1]):
        step = max(1, len(part)) if at_once else PIECE
        for start in range(0, len(part), step):
            yield memoryview(part)[start : start + step]


def _feed(
    decode: Callable[[bytes | memoryview], tuple[int, int]],
    pieces: Iterator[bytes | memoryview],
    check: Callable[[], None],
) -> None:
    """Call ``decode`` with each piece, after what it has left of those before.

    It returns how many bytes it has used, negative at the end, and an error, negative if there is
    one.
    """
    rest: bytes | memoryview = b""
    for piece in pieces:
        check()
        data = b"".join((rest, piece)) if rest else piece
        used, error = decode(data)
        if used < 0:
            if error < 0:
                break
            check()
            return
        rest = data[used:]
    raise UnreadableImage("the JPEG is truncated or damaged")
