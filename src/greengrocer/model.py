"""The Python API: a model in this process, without HTTP.

``greengrocer.load("grocery").predict("photo.jpg")`` runs the same pipeline as the service.
"""

import os
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image

from greengrocer.context import Context
from greengrocer.errors import ImageRefused, UnreadableImage
from greengrocer.imaging.colour import upright_rgb
from greengrocer.imaging.decode import DecodeLimits, Picture, check_pixels
from greengrocer.imaging.exif import UPRIGHT
from greengrocer.pipeline import Pipeline
from greengrocer.ranking import Answer, AnswerOptions
from greengrocer.regular_files import MAX_IMAGE_BYTES, read_regular
from greengrocer.serving.pool import side_by_side
from greengrocer.serving.resources import picture_threads
from greengrocer.tracebacks import release_frames

ImageLike: TypeAlias = (
    str | os.PathLike[str] | bytes | bytearray | memoryview | Image.Image | npt.NDArray[np.uint8]
)


class Model:
    """A loaded model: a context manager whose methods may be called from any thread.

    ``name`` and ``version`` identify the model. ``classes`` are the names of its classes, in the
    order of class ids; ``coarse_classes`` those of its coarse classes, or None without a hierarchy.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._open = True
        self.name, self.version = pipeline.labels.model
        self.classes = pipeline.labels.classes  # in class-id order
        self.coarse_classes = pipeline.labels.coarse  # None for a model without a hierarchy

    def predict(
        self, image: ImageLike, *, top: int | None = None, evidence: bool = False
    ) -> Answer:
        """The answer for one image, with its ``top`` best classes, by default five.

        ``image`` is a path, the bytes of an image file, a Pillow image, or an array: uint8
        [height, width, 3] in RGB or [height, width] in grey, upright. ``evidence`` adds the class
        activation map of the best class to the answer: float32 [h, w].

        Raises ImageRefused for a file that is missing, damaged, too large or not an image;
        InvalidAnswer where the model fails, or its answer is not what its bundle says;
        TypeError for another type or an array of another dtype; ValueError for an array of another
        shape, an empty path, a ``top`` below 1 or above the number of classes, or a model that is
        closed.
        """
        options = self._options(top, evidence)
        picture = _picture(image, self._pipeline.limits)
        try:
            return self._pipeline.classify(picture, Context(), options)
        except ImageRefused as refusal:
            if isinstance(image, (str, os.PathLike)):
                refusal.args = (f"{os.fspath(image)}: {refusal}",)
            raise

    def predict_many(
        self,
        images: Iterable[ImageLike],
        *,
        top: int | None = None,
        evidence: bool = False,
        threads: int | None = None,
    ) -> Iterator[Answer | ImageRefused]:
        """The answers for many images, in order, computed on all processors.

        ``images`` may be a generator of any length: it is read only a little ahead. ``top`` and
        ``evidence`` are as for ``predict``. An image that is refused yields its ImageRefused
        in its place, and the others go on. ``threads`` images are processed at once; by default as
        many as there are processors.

        Raises InvalidAnswer, TypeError or ValueError as ``predict`` does.
        """

        def classify(image: ImageLike) -> Answer | ImageRefused:
            try:
                return self.predict(image, top=top, evidence=evidence)
            except ImageRefused as refusal:
                release_frames(refusal)  # its frames hold the image
                return refusal

        self._options(top, evidence)
        if isinstance(images, (str, bytes, bytearray, os.PathLike)):
            raise TypeError("images is one image: use predict, or give a list")
        return side_by_side(classify, images, threads or picture_threads())

    def close(self) -> None:
        """Free the model's memory. No prediction may be running; the model cannot be used again."""
        self._open = False
        self._pipeline.close()

    def _options(self, top: int | None, evidence: bool) -> AnswerOptions:
        if not self._open:
            raise ValueError("the model is closed: load it again")
        if top is None:
            return AnswerOptions(evidence=evidence)
        if not isinstance(top, int) or isinstance(top, bool) or top < 1:
            raise ValueError(f"top is {top!r}: it must be a whole number, 1 or more")
        if top > len(self.classes):
            raise ValueError(f"top is {top}: this model has {len(self.classes)} classes")
        return AnswerOptions(top, evidence)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _picture(image: ImageLike, limits: DecodeLimits) -> Picture:
    """``image`` as the pipeline takes it. Its size is checked before it takes memory."""
    if isinstance(image, (bytes, bytearray, memoryview)):
        return bytes(image)
    if isinstance(image, Image.Image):
        return _upright(image, limits)
    if isinstance(image, np.ndarray):
        return _pixels(image, limits)
    if not isinstance(image, (str, os.PathLike)):
        raise TypeError(
            f"an image is a path, bytes, a Pillow image or an array, not {type(image).__name__}"
        )
    if not os.fspath(image):
        raise ValueError("the path of the image is empty")
    try:
        return read_regular(Path(image), MAX_IMAGE_BYTES)
    except OSError as error:
        raise UnreadableImage(f"{os.fspath(image)}: {error.strerror}") from error


def _upright(image: Image.Image, limits: DecodeLimits) -> npt.NDArray[np.uint8]:
    if 0 in image.size:
        raise ValueError("the image has no pixels")
    check_pixels(*image.size, limits)
    try:
        image.load()
        orientation = image.getexif().get(ExifTags.Base.Orientation, UPRIGHT)
    # what Pillow's decoders raise for a damaged file
    except (OSError, SyntaxError, ValueError, EOFError, struct.error) as error:
        raise UnreadableImage(f"the image is damaged: {error}") from error
    if orientation not in range(1, 9):
        orientation = UPRIGHT
    return np.asarray(upright_rgb(image, orientation, lambda: None))


def _pixels(array: npt.NDArray[np.uint8], limits: DecodeLimits) -> npt.NDArray[np.uint8]:
    if array.dtype != np.uint8:
        raise TypeError(f"the array's dtype is {array.dtype}: it must be uint8, 0 to 255")
    if 0 in array.shape:
        raise ValueError("the array has no pixels")
    if array.ndim not in (2, 3) or array.shape[2:] not in ((), (3,)):
        shape = " x ".join(map(str, array.shape))
        raise ValueError(f"the array's shape is {shape}: it must be height x width x 3 (RGB)")
    check_pixels(array.shape[1], array.shape[0], limits)
    if array.ndim == 2:
        array = np.repeat(array[:, :, None], 3, axis=2)
    return np.ascontiguousarray(array)
