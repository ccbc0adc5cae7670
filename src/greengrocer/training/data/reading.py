"""A data set's images, read as the product reads a client's; a bad one is named."""

import hashlib
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from greengrocer.datasets.dataset import LabelledImage
from greengrocer.datasets.progress import Progress
from greengrocer.errors import DatasetUnusable, ImageRefused
from greengrocer.imaging.decode import decode
from greengrocer.imaging.geometry import Geometry, Pixels, fit
from greengrocer.regular_files import MAX_IMAGE_BYTES, read_regular
from greengrocer.training.data.apparent_size import at_apparent_size

SMALL = (32, 32)  # pixels: all of a file is decoded, but to little


def read_picture(path: Path, target: tuple[int, int]) -> Image.Image:
    """The upright RGB image at ``path``, hardly larger than ``target`` (width, height).

    Raises DatasetUnusable where it cannot be read.
    """
    return _decoded(path, _read(path), target)


def read_all(pictures: Sequence[LabelledImage], threads: int) -> tuple[LabelledImage, ...]:
    """``pictures`` with their digests, each of them read and decoded, on ``threads`` threads.

    A bad one would else stop a training when its turn comes, and some are first needed at its end.
    Raises DatasetUnusable for the first that cannot be read.
    """

    def read(picture: LabelledImage) -> LabelledImage:
        data = _read(picture.path)
        _decoded(picture.path, data, SMALL)
        return replace(picture, digest=hashlib.sha256(data).hexdigest())

    with ThreadPoolExecutor(threads, thread_name_prefix="read") as pool:
        try:
            found = pool.map(read, pictures)
            return tuple(Progress(found, "reading", len(pictures), unit="image"))
        finally:
            pool.shutdown(cancel_futures=True)


def read_fitted(path: Path, geometry: Geometry, size: float = 1.0) -> Pixels:
    """The image at ``path`` as the model sees it: uint8 [H, W, 3]; raises DatasetUnusable.

    What it shows has ``size`` times its apparent size, see ``apparent_size``.
    """
    if size == 1:
        return fit(read_picture(path, geometry.decoded_size), geometry)
    width, height = (math.ceil(side * max(1, size)) for side in geometry.decoded_size)
    picture = read_picture(path, (width, height))
    return fit(Image.fromarray(at_apparent_size(np.asarray(picture), size)), geometry)


def _read(path: Path) -> bytes:
    try:
        return read_regular(path, MAX_IMAGE_BYTES)
    except OSError as error:
        raise DatasetUnusable(f"{path}: {error.strerror}") from error


def _decoded(path: Path, data: bytes, target: tuple[int, int]) -> Image.Image:
    try:
        return decode(data, target)
    except ImageRefused as error:
        raise DatasetUnusable(f"{path}: {error}") from error
