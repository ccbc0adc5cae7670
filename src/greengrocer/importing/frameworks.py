"""What the source framework does with an image, in plain Pillow and NumPy: to compare with.

It shares no code with ``imaging``: a whole image is resized and then cut or padded.
"""

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from greengrocer.importing.graph import Array
from greengrocer.importing.preprocessing import Preprocessing
from greengrocer.importing.source import Source

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def prepare(data: bytes, how: Preprocessing, size: tuple[int, int], source: Source) -> Array:
    """The image file ``data`` as ``source`` takes it, [1, 3, H, W] or [1, H, W, 3]."""
    return normalise(resized(data, how, size), how, source)


def resized(data: bytes, how: Preprocessing, size: tuple[int, int]) -> Array:
    """The image at the model's size, levels from 0 to 255 as float32 or uint8, [H, W, 3]."""
    with Image.open(io.BytesIO(data)) as opened:
        picture = ImageOps.exif_transpose(opened).convert("RGB")
    if how.shape == "squeeze":
        return _resize(picture, size, how)
    if how.shape == "letterbox":
        return _letterbox(picture, size, how)
    return _crop(picture, size, how)


def is_plain_jpeg(path: Path) -> bool:
    """Whether every framework reads the file alike: a whole JPEG, in colour or in grey.

    Transparency, CMYK and what is cut off are read in as many ways as there are readers.
    """
    try:
        with Image.open(path) as opened:
            opened.load()
            return opened.format == "JPEG" and opened.mode in ("RGB", "L")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False


def normalise(levels: Array, how: Preprocessing, source: Source) -> Array:
    """Levels [H, W, 3] as frameworks normalise them: to 0 to 1, then by mean and deviation."""
    if how.bgr:
        levels = levels[:, :, ::-1]
    if source.type == np.uint8:
        values: Array = np.asarray(levels, np.uint8)
    else:
        mean = np.array(how.mean, np.float32) / np.float32(255)
        std = np.array(how.std, np.float32) / np.float32(255)
        values = (levels.astype(np.float32) / np.float32(255) - mean) / std
    if source.layout == "NCHW":
        values = values.transpose(2, 0, 1)
    return np.ascontiguousarray(values[None], source.type)


def _crop(picture: Image.Image, size: tuple[int, int], how: Preprocessing) -> Array:
    shorter = how.resize or int(max(size) / (how.crop or 1.0) + 1e-6)
    width, height = picture.size
    if width <= height:
        whole = shorter, int(shorter * height / width)
    else:
        whole = int(shorter * width / height), shorter
    scaled = _resize(picture, whole, how)
    over = whole[0] - size[0], whole[1] - size[1]
    left, top = (each // 2 if how.centre == "floor" else round(each / 2.0) for each in over)
    return scaled[top : top + size[1], left : left + size[0]]


def _letterbox(picture: Image.Image, size: tuple[int, int], how: Preprocessing) -> Array:
    width, height = picture.size
    ratio = min(size[1] / height, size[0] / width)
    inner = max(1, round(width * ratio)), max(1, round(height * ratio))
    canvas = np.empty((size[1], size[0], 3), np.uint8)
    canvas[:] = how.fill
    top, left = round((size[1] - inner[1]) / 2 - 0.1), round((size[0] - inner[0]) / 2 - 0.1)
    placed = np.asarray(np.round(_resize(picture, inner, how)), np.uint8)
    canvas[top : top + inner[1], left : left + inner[0]] = placed
    return canvas


def _resize(picture: Image.Image, size: tuple[int, int], how: Preprocessing) -> Array:
    if how.antialias or how.resample == "nearest":
        return np.asarray(picture.resize(size, _FILTERS[how.resample]))
    pixels = np.asarray(picture, np.float32)
    by_rows = _interpolated(pixels, size[1], 0)
    return np.asarray(_interpolated(by_rows, size[0], 1))


def _interpolated(values: Array, count: int, axis: int) -> Any:
    """Linear interpolation between neighbours, centres of pixels at one half, without antialias."""
    side = values.shape[axis]
    place = np.clip((np.arange(count) + 0.5) * side / count - 0.5, 0, side - 1)
    low = np.floor(place).astype(int)
    share = (place - low).astype(np.float32).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
    high = np.minimum(low + 1, side - 1)
    return values.take(low, axis) * (1 - share) + values.take(high, axis) * share
