"""HEIC and AVIF that tests draw. An image has red, white, white and blue quarters."""

import io
import struct

import numpy as np
import pillow_heif
from PIL import Image, ImageDraw

from support.make_images import encoded

pillow_heif.register_heif_opener(thumbnails=True)

KINDS = {"HEIC": "HEIF", "AVIF": "AVIF"}  # what Pillow calls them
SIZE = (200, 120)
CORNERS = ("red", "white", "white", "blue")


def quarters(size: tuple[int, int] = SIZE) -> Image.Image:
    """An image of four quarters, so that it is seen how it was turned."""
    picture = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 0, size[0] // 2 - 1, size[1] // 2 - 1), fill="red")
    draw.rectangle((size[0] // 2, size[1] // 2, *size), fill="blue")
    return picture


def still(kind: str, picture: Image.Image | None = None, **options: object) -> bytes:
    """``picture``, or the quarters, as HEIC or AVIF."""
    return encoded(picture or quarters(), KINDS[kind], **options)


def deep(bits: int = 10) -> bytes:
    """The quarters as a HEIC of so many bits a sample."""
    sixteen = np.asarray(quarters()).astype(np.uint16) * 257
    file = pillow_heif.from_bytes("RGB;16", SIZE, sixteen.tobytes())
    return _saved(file, bits)


def _saved(file: pillow_heif.HeifFile, bits: int) -> bytes:
    pillow_heif.options.SAVE_HDR_TO_12_BIT = bits == 12
    out = io.BytesIO()
    file.save(out)
    return out.getvalue()


def colours(picture: Image.Image) -> list[str]:
    """The nearest of red, white, blue and black in the middle of each quarter, row by row."""
    named = {"red": (255, 0, 0), "white": (255,) * 3, "blue": (0, 0, 255), "black": (0, 0, 0)}
    found = []
    for y in (1, 3):
        for x in (1, 3):
            at = picture.getpixel((x * picture.width // 4, y * picture.height // 4))
            assert isinstance(at, tuple)
            found.append(
                min(named, key=lambda n: sum(abs(a - b) for a, b in zip(named[n], at, strict=True)))
            )
    return found


def box(kind: bytes, content: bytes) -> bytes:
    """A box of an ISO base media file."""
    return struct.pack(">I4s", 8 + len(content), kind) + content


def ftyp(major: bytes, *compatible: bytes, minor: int = 0) -> bytes:
    """A file's first box."""
    return box(b"ftyp", major + struct.pack(">I", minor) + b"".join(compatible))


def resized(data: bytes, size: tuple[int, int], which: int = 0) -> bytes:
    """``data`` with another size in its property ispe of that number."""
    at = -1
    for _ in range(which + 1):
        at = data.index(b"ispe", at + 1)
    return data[: at + 8] + struct.pack(">II", *size) + data[at + 16 :]
