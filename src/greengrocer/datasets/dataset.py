"""Labelled images in a directory: the Grocery Store Dataset, or a plain folder a class."""

import csv
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from greengrocer.datasets.checksums import shipped_checksums
from greengrocer.errors import DatasetUnusable
from greengrocer.imaging.formats import suffixes
from greengrocer.regular_files import MAX_LIST_BYTES, read_regular
from greengrocer.safe_text import check_name

SPLITS = ("train", "val", "test")
SUFFIXES = suffixes()


@dataclass(frozen=True)
class Taxonomy:
    """The classes, in class-id order, and the coarse class of each, where there is a hierarchy."""

    classes: tuple[str, ...]
    coarse: tuple[str, ...] | None = None
    coarse_of: tuple[int, ...] | None = None


@dataclass(frozen=True)
class LabelledImage:
    """An image on disk and its class id in the data set's taxonomy."""

    path: Path
    label: int
    digest: str | None = None  # SHA-256 of its bytes in hexadecimal, where they have been read


@dataclass(frozen=True)
class Dataset:
    """A split: its images, and what their labels mean."""

    taxonomy: Taxonomy
    pictures: tuple[LabelledImage, ...]


def read_split(directory: Path, split: str) -> Dataset:
    """The images of ``split`` ("train", "val" or "test") below ``directory``.

    ``directory`` is the Grocery Store Dataset's root, its ``dataset/``, or a folder that holds one
    folder a class, directly or below one folder a split.

    Raises DatasetUnusable where there is nothing of the kind.
    """
    root = grocery_root(directory)
    found = _read_grocery(root, split) if root else _read_folders(directory, split)
    if not found.pictures:
        raise DatasetUnusable(f"{directory} holds no images of the split {split!r}")
    return found


def has_splits(directory: Path) -> bool:
    """Whether ``directory`` tells its splits apart; else it is one set, whatever split is asked."""
    return grocery_root(directory) is not None or _split_folders(directory)


def grocery_root(directory: Path) -> Path | None:
    """Where the Grocery Store Dataset's ``classes.csv`` lies at or just below ``directory``."""
    for candidate in (directory, directory / "dataset"):
        if (candidate / "classes.csv").is_file():
            return candidate
    return None


def is_grocery_store_dataset(directory: Path) -> bool:
    """Whether the Grocery Store Dataset itself lies at ``directory``, by its list of classes."""
    root = grocery_root(directory)
    if root is None:
        return False
    found = hashlib.sha256(_read(root / "classes.csv")).hexdigest()
    return found == shipped_checksums()["dataset/classes.csv"]


def _read_grocery(root: Path, split: str) -> Dataset:
    listing = root / f"{split}.txt"
    if not listing.is_file():
        raise DatasetUnusable(f"{root} has no split {split!r}: there is no {listing.name}")
    taxonomy = _read_taxonomy(root / "classes.csv")
    rows = csv.reader(_lines(listing), skipinitialspace=True)
    try:
        pictures = tuple(LabelledImage(root / row[0], int(row[1])) for row in rows)
    except (IndexError, ValueError, csv.Error) as error:
        raise DatasetUnusable(
            f"{listing}, line {rows.line_num}: not 'path, fine id, coarse id'"
        ) from error
    for number, picture in enumerate(pictures, start=1):
        if not 0 <= picture.label < len(taxonomy.classes):
            raise DatasetUnusable(f"{listing}, line {number}: no class has the id {picture.label}")
    return Dataset(taxonomy, pictures)


def _read_taxonomy(listing: Path) -> Taxonomy:
    try:
        rows = [(r[0], int(r[1]), r[2], int(r[3])) for r in list(csv.reader(_lines(listing)))[1:]]
    except (IndexError, ValueError, csv.Error) as error:
        raise DatasetUnusable(f"{listing} is not the data set's list of classes") from error
    rows.sort(key=lambda row: row[1])
    coarse = dict(sorted((row[3], row[2]) for row in rows))
    if [row[1] for row in rows] != list(range(len(rows))) or list(coarse) != list(
        range(len(coarse))
    ):
        raise DatasetUnusable(f"{listing}: the class ids are not 0, 1, 2, ...")
    _check_names(listing, [row[0] for row in rows])
    _check_names(listing, list(coarse.values()))
    return Taxonomy(
        classes=tuple(row[0] for row in rows),
        coarse=tuple(coarse.values()),
        coarse_of=tuple(row[3] for row in rows),
    )


def _lines(listing: Path) -> Iterator[str]:
    """Its lines; a ValueError comes with the first that is no UTF-8."""
    return (line.decode() for line in _read(listing).splitlines(keepends=True))


def _read(listing: Path) -> bytes:
    try:
        return read_regular(listing, MAX_LIST_BYTES)
    except OSError as error:
        raise DatasetUnusable(f"{listing}: {error.strerror or error}") from error


def _check_names(where: Path, names: list[str]) -> None:
    """Refuse what a bundle could not hold as a class before anything is trained on it."""
    for name in names:
        try:
            check_name(name)
        except ValueError as error:
            raise DatasetUnusable(f"{where}: the class {error}") from error


def _read_folders(directory: Path, split: str) -> Dataset:
    if not directory.is_dir():
        raise DatasetUnusable(f"there is no data set at {directory}")
    base = directory / split if _split_folders(directory) else directory
    if not base.is_dir():
        raise DatasetUnusable(f"{directory} has no split {split!r}")
    classes = sorted(folder.name for folder in base.iterdir() if folder.is_dir())
    _check_names(base, classes)
    pictures = tuple(
        LabelledImage(path, label)
        for label, name in enumerate(classes)
        for path in sorted((base / name).rglob("*"))
        if path.suffix.lower() in SUFFIXES and path.is_file()
    )
    return Dataset(Taxonomy(tuple(classes)), pictures)


def _split_folders(directory: Path) -> bool:
    return any((directory / name).is_dir() for name in SPLITS)
