"""Images to show: a data set's validation split, or the built-in ones that ship with us."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from greengrocer.datasets.dataset import read_split
from greengrocer.datasets.locations import default_data_dir
from greengrocer.errors import DatasetUnusable

JPEG_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif")


@dataclass(frozen=True)
class ShownImage:
    """A JPEG on disk and the name of its true class."""

    path: Path
    true_class: str


@dataclass(frozen=True)
class Gallery:
    """The images that are shown, and whether they are the built-in ones."""

    pictures: tuple[ShownImage, ...]
    built_in: bool

    def choose(self) -> ShownImage:
        """One image, each as likely as any other."""
        return random.choice(self.pictures)  # noqa: S311 - an image to look at, not a secret


def open_gallery(
    source: Path | None, *, coarse: str | None = None, exclude: Sequence[str] = ()
) -> Gallery:
    """The validation images at ``source``, of any layout, or the built-in ones where it is None.

    ``coarse`` and ``exclude`` are those of ``layouts.read.read_collection``. Where no source is
    named and the data set lies whole where ``greengrocer data download`` puts it, that is used.
    Raises DatasetUnusable for a source that a person named and that cannot be used.
    """
    if source is not None:
        return _validation_gallery(source, coarse, exclude)
    try:
        return _validation_gallery(default_data_dir())
    except DatasetUnusable:  # nothing was downloaded, or not all of it yet
        return built_in_gallery()


def _validation_gallery(
    directory: Path, coarse: str | None = None, exclude: Sequence[str] = ()
) -> Gallery:
    split = read_split(directory, "val", coarse=coarse, exclude=exclude)
    classes = split.taxonomy.classes
    pictures = tuple(
        ShownImage(picture.path, classes[picture.label])
        for picture in split.pictures
        if picture.path.suffix.lower() in JPEG_SUFFIXES
    )
    missing = next((shown.path for shown in pictures if not shown.path.is_file()), None)
    if missing or not pictures:
        raise DatasetUnusable(f"the data set at {directory} lacks {missing or 'JPEG images'}")
    return Gallery(pictures, built_in=False)


def built_in_gallery() -> Gallery:
    """The images that ship with the product; a file's name is its class."""
    home = Path(str(files("greengrocer") / "gallery"))
    return Gallery(
        tuple(ShownImage(path, path.stem) for path in sorted(home.glob("*.jpg"))), built_in=True
    )
