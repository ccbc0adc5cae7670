"""Sound images, and their bytes as good encoders write them."""

import io

import numpy as np
from PIL import Image


def photo(seed: int, size: tuple[int, int] = (160, 120)) -> Image.Image:
    """A smooth random image, different for every seed."""
    random = np.random.default_rng(seed)
    small = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def plain(level: int, size: tuple[int, int] = (64, 48)) -> Image.Image:
    """An image of one grey."""
    return Image.new("RGB", size, (level, level, level))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """An image's bytes in the format ``kind``."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def jpeg(image: Image.Image, **options: object) -> bytes:
    """An image as a JPEG."""
    return encoded(image, "JPEG", **options)
