"""Make images and encode them."""

import io

import numpy as np
from PIL import Image


def jpeg(level: int, size: tuple[int, int] = (64, 48), quality: int = 90) -> bytes:
    """A plain grey JPEG; the fake engine answers its level."""
    return encoded(Image.new("RGB", size, (level, level, level)), "JPEG", quality=quality)


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    """An image's bytes in the format ``kind``."""
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def photo(seed: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """A smooth random image, different for every seed."""
    random = np.random.default_rng(seed)
    small = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def noise(size: tuple[int, int]) -> Image.Image:
    """Random pixels: what is slowest to decode."""
    random = np.random.default_rng(3)
    return Image.fromarray(random.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
