"""Photos at hand, labelled with the model's classes: some to fit with, some to judge by."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from greengrocer.datasets.dataset import LabelledImage, has_splits, read_split
from greengrocer.errors import DatasetUnusable, ImageRefused, UsageError
from greengrocer.figures.score import ClassIds
from greengrocer.imaging.fitted import decode_fitted
from greengrocer.imaging.geometry import Geometry, Pixels
from greengrocer.regular_files import MAX_IMAGE_BYTES, read_regular
from greengrocer.suggestions import did_you_mean

FEWEST = 20  # that judge: fewer set no threshold


@dataclass(frozen=True)
class Photos:
    """``fitting`` set int8's ranges and the prototypes; ``judging`` the temperature and the rest.

    ClassIds are class ids of the model. No photo is in both.
    """

    fitting: tuple[LabelledImage, ...]
    judging: tuple[LabelledImage, ...]

    @property
    def all(self) -> tuple[LabelledImage, ...]:
        """Both."""
        return self.fitting + self.judging


def read_photos(directory: Path, classes: Sequence[str]) -> Photos:
    """The labelled photos below ``directory``; raises DatasetUnusable or UsageError.

    Splits that the directory has are kept: "train" fits, "val" judges. Else every second photo of
    a class judges, in the order of their digests.
    """
    if has_splits(directory):
        fitting, judging = (_relabelled(directory, split, classes) for split in ("train", "val"))
        return _checked(directory, Photos(fitting, judging))
    fit: list[LabelledImage] = []
    judge: list[LabelledImage] = []
    photos = _relabelled(directory, "train", classes)
    for label in sorted({photo.label for photo in photos}):
        of_class = [(digest(photo.path), photo) for photo in photos if photo.label == label]
        unique = dict(sorted(of_class, key=lambda each: each[0]))  # a copy cannot be in both
        for index, photo in enumerate(unique.values()):
            (judge if index % 2 else fit).append(photo)
    return _checked(directory, Photos(tuple(fit), tuple(judge)))


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


def digest(path: Path) -> str:
    """The SHA-256 of a photo, in hexadecimal."""
    return hashlib.sha256(read_photo(path)).hexdigest()


def _relabelled(directory: Path, split: str, classes: Sequence[str]) -> tuple[LabelledImage, ...]:
    """The photos of a split, their labels the model's: folders are matched by name."""
    found = read_split(directory, split)
    by_name = {_plain(name): index for index, name in enumerate(classes)}
    ids = []
    for name in found.taxonomy.classes:
        if _plain(name) not in by_name:
            raise UsageError(
                f"{directory} has photos of {name!r}, which is no class of the model"
                f"{did_you_mean(name, list(classes))}: rename the folder as the labels have it, or "
                "move it away"
            )
        ids.append(by_name[_plain(name)])
    return tuple(LabelledImage(each.path, ids[each.label]) for each in found.pictures)


def _plain(name: str) -> str:
    return name.casefold().replace("_", " ").replace("-", " ").strip()


def _checked(directory: Path, photos: Photos) -> Photos:
    if len(photos.judging) < FEWEST:
        raise UsageError(
            f"{directory} has {len(photos.all)} photos, of which {len(photos.judging)} can judge: "
            f"at least {FEWEST} must, so give {2 * FEWEST} or more, or leave out --data"
        )
    return photos
