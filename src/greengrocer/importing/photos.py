"""Photos at hand, labelled with the model's classes: some to fit with, some to judge by."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from greengrocer.datachecks.files import open_all
from greengrocer.datasets.dataset import LabelledImage
from greengrocer.datasets.layouts.read import Collection, FoundImage, read_collection
from greengrocer.errors import DatasetUnusable, ImageRefused, UsageError
from greengrocer.figures.score import ClassIds
from greengrocer.imaging.fitted import decode_fitted
from greengrocer.imaging.geometry import Geometry, Pixels
from greengrocer.importing.matching import match_classes
from greengrocer.regular_files import MAX_IMAGE_BYTES, read_regular

FEWEST = 20  # that judge: fewer set no threshold
SHOWN = 5  # files that cannot be read


@dataclass(frozen=True)
class Photos:
    """``fitting`` set int8's ranges and the prototypes; ``judging`` the temperature and the rest.

    ClassIds are class ids of the model. No photo is in both. Each has its digest.
    """

    fitting: tuple[LabelledImage, ...]
    judging: tuple[LabelledImage, ...]


def read_photos(
    source: Path,
    classes: Sequence[str],
    tell: Callable[[str], None],
    *,
    coarse: str | None = None,
    exclude: Sequence[str] = (),
) -> Photos:
    """The labelled photos at ``source``, of any layout; ``tell`` gets what is left out, and why.

    Where there is a split "train" and another, "train" fits, and "val" or else "test" judges. Else
    every second photo of a class judges, in the order of their digests. Raises DatasetUnusable or
    UsageError.
    """
    found = read_collection(source, coarse=coarse, exclude=exclude)
    ids = match_classes(found.taxonomy.classes, classes, source, tell)
    matched = [image for image in found.images if image.label in ids]
    opened = open_all([image.path for image in matched])
    for each in opened.unreadable[:SHOWN]:
        tell(f"left out {each.path}: {each.why}")
    if len(opened.unreadable) > SHOWN:
        tell(f"left out {len(opened.unreadable) - SHOWN} more files that cannot be read")
    digests = {each.path: each.digest for each in opened.images}
    fit, judge = _sides(found, [image for image in matched if image.path in digests])
    photos = Photos(
        *(
            tuple(LabelledImage(each.path, ids[each.label], digests[each.path]) for each in side)
            for side in (fit, judge)
        )
    )
    return _checked(source, photos if judge else _halved(photos.fitting))


def _sides(
    found: Collection, images: Sequence[FoundImage]
) -> tuple[list[FoundImage], list[FoundImage]]:
    """The images that fit and those that judge, by their splits; all on one side without them."""
    splits = {image.split for image in images}
    judging = next((name for name in ("val", "test") if name in splits), None)
    if not found.has_splits or judging is None or "train" not in splits:
        return list(images), []
    fit = [image for image in images if image.split == "train"]
    return fit, [image for image in images if image.split == judging]


def _halved(photos: Sequence[LabelledImage]) -> Photos:
    fit: list[LabelledImage] = []
    judge: list[LabelledImage] = []
    for label in sorted({photo.label for photo in photos}):
        of_class = [(photo.digest or "", photo) for photo in photos if photo.label == label]
        unique = dict(sorted(of_class, key=lambda each: each[0]))  # a copy cannot be in both
        for index, photo in enumerate(unique.values()):
            (judge if index % 2 else fit).append(photo)
    return Photos(tuple(fit), tuple(judge))


def read_photo(path: Path) -> bytes:
    """The bytes of the image at ``path``; raises DatasetUnusable."""
    try:
        return read_regular(path, MAX_IMAGE_BYTES)
    except OSError as error:
        raise DatasetUnusable(f"{path}: {error.strerror or error}") from error


def read_pixels(path: Path, geometry: Geometry) -> Pixels:
    """The photo at ``path`` as the model sees it, uint8 [H, W, 3]; raises DatasetUnusable."""
    try:
        return decode_fitted(read_photo(path), geometry)
    except ImageRefused as error:
        raise DatasetUnusable(f"{path}: {error}") from error


def labels_of(photos: Sequence[LabelledImage]) -> ClassIds:
    """The class id of each photo, [N]."""
    return np.array([photo.label for photo in photos], np.int64)


def _checked(source: Path, photos: Photos) -> Photos:
    if len(photos.judging) < FEWEST:
        count = len(photos.fitting) + len(photos.judging)
        raise UsageError(
            f"{source} has {count} photos of the model's classes, of which {len(photos.judging)} "
            f"can judge: at least {FEWEST} must, so give {2 * FEWEST} or more, or leave out --data"
        )
    return photos
