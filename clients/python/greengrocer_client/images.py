"""An image as a caller has it -> the bytes of a file."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, Union

from greengrocer_client.arguments import check_count
from greengrocer_client.errors import unreadable

if TYPE_CHECKING:
    from PIL import Image

ImageLike: TypeAlias = Union[str, "os.PathLike[str]", bytes, bytearray, memoryview, "Image.Image"]


def check_max_side(max_side: int | None) -> None:
    """Raise ValueError for no side of 1 or more, ImportError where Pillow is missing."""
    if max_side is None:
        return
    check_count("max_side", max_side)
    try:
        import PIL.Image  # noqa: F401, PLC0415
    except ImportError as error:
        raise ImportError(
            "max_side needs Pillow: pip install 'greengrocer-client[pillow]'"
        ) from error


def file_of(image: ImageLike, max_side: int | None) -> bytes:
    """The bytes of the file to send for ``image``.

    With ``max_side``, an image with a longer side, in pixels, is made smaller. Raises ImageRefused
    for a path that cannot be read or a damaged Pillow image, ValueError for an empty path or a
    Pillow image of mode F or I, and TypeError for another type.
    """
    if isinstance(image, (str, os.PathLike)):
        file = _read(os.fspath(image))
    elif isinstance(image, (bytes, bytearray, memoryview)):
        file = bytes(image)
    else:
        return _encoded(image, max_side)
    if max_side is None:
        return file
    from greengrocer_client.scaling import smaller  # noqa: PLC0415 - Pillow is an extra

    return smaller(file, max_side)


def _read(path: str) -> bytes:
    if not path:
        raise ValueError("the path of the image is empty")
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise unreadable(path, error.strerror or str(error)) from error


def _encoded(image: object, max_side: int | None) -> bytes:
    try:
        from PIL import Image  # noqa: PLC0415

        from greengrocer_client.scaling import DAMAGED, UnknownRange, encoded  # noqa: PLC0415
    except ImportError:  # then it is no image of Pillow's
        raise _unknown(image) from None
    if not isinstance(image, Image.Image):
        raise _unknown(image)
    try:
        return encoded(image, max_side)
    except UnknownRange:
        raise
    except DAMAGED as error:
        name = os.fspath(getattr(image, "filename", "")) or "the Pillow image"
        raise unreadable(name, str(error)) from error


def _unknown(image: object) -> TypeError:
    kind = type(image).__name__
    return TypeError(f"an image is a path, the bytes of a file or a Pillow image, not {kind}")
