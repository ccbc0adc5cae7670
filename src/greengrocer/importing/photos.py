"""Photos at hand, labelled with the model's classes: some to fit with, some to judge by."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from greengrocer.datachecks.files import open_all
from greengrocer.datasets.dataset import LabelledImage
from greengrocer.datasets.layouts.read import read_collection
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

    Labels are class ids of the model. No photo is in both. Each has its digest.
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

    Where there is a split "train" and another, "train" fits but for copies of what judges, and
    "val" or else "test" judges. Else every second photo of a class judges, in the order of their
    digests. Raises DatasetUnusable or UsageError.
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
    photos: dict[str | None, list[LabelledImage]] = defaultdict(list)
    for image in matched:
        if image.path in digests:
            photo = LabelledImage(image.path, ids[image.label], digests[image.path])
            photos[image.split].append(photo)
    judging = next((name for name in ("val", "test") if name in photos), None)
    if not found.has_splits or judging is None or "train" not in photos:
        together = [photo for of_split in photos.values() for photo in of_split]
        return _checked(source, _halved(together), f"give {2 * FEWEST} or more")
    halves = Photos(tuple(photos["train"]), tuple(photos[judging]))
    advice = f"put {FEWEST} or more into {judging}"
    return _without_copies(source, _checked(source, halves, advice), judging, tell)


def _without_copies(
    source: Path, photos: Photos, judging: str, tell: Callable[[str], None]
) -> Photos:
    """``photos`` without those that fit and have a copy in the split ``judging``."""
    digests = {photo.digest for photo in photos.judging}
    fitting = tuple(photo for photo in photos.fitting if photo.digest not in digests)
    if not fitting:
        raise UsageError(
            f"{source} has every photo of train in {judging}, too: put different photos into them"
        )
    if copies := len(photos.fitting) - len(fitting):
        tell(f"left out {copies} photos of train that are in {judging}, too")
    return Photos(fitting, photos.judging)


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


def _checked(source: Path, photos: Photos, advice: str) -> Photos:
    """``photos``; raises UsageError with ``advice`` where too few judge."""
    if len(photos.judging) < FEWEST:
        count = len(photos.fitting) + len(photos.judging)
        raise UsageError(
            f"{source} has {count} photos of the model's classes, of which {len(photos.judging)} "
            f"can judge: at least {FEWEST} must, so {advice}, or leave out --data"
        )
    return photos
