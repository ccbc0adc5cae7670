"""A data set's pictures, read as the product reads a client's; a bad one is named."""

from pathlib import Path

from PIL import Image

from greengrocer.errors import DatasetUnusable, PictureRefused
from greengrocer.imaging.decode import decode
from greengrocer.imaging.geometry import Geometry, Pixels, fit
from greengrocer.plain_files import PICTURE_BYTES, read_plain


def read_picture(path: Path, target: tuple[int, int]) -> Image.Image:
    """The upright RGB picture at ``path``, hardly larger than ``target`` (width, height).

    Raises DatasetUnusable where it cannot be read.
    """
    try:
        return decode(read_plain(path, PICTURE_BYTES), target)
    except OSError as error:
        raise DatasetUnusable(f"{path}: {error.strerror}") from error
    except PictureRefused as error:
        raise DatasetUnusable(f"{path}: {error}") from error


def read_fitted(path: Path, geometry: Geometry) -> Pixels:
    """The picture at ``path`` as the model sees it: uint8 [H, W, 3]; raises DatasetUnusable."""
    return fit(read_picture(path, geometry.size), geometry)
