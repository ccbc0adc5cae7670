"""The Grocery Store Dataset, as its repository lays it out."""

import csv
from collections.abc import Iterator
from pathlib import Path

from greengrocer.datasets.labelled import Taxonomy
from greengrocer.datasets.layouts.collection import FoundImage, check_names
from greengrocer.datasets.layouts.names import SPLITS
from greengrocer.errors import DatasetUnusable
from greengrocer.regular_files import MAX_LIST_BYTES, read_regular


def grocery_root(directory: Path) -> Path | None:
    """Where the Grocery Store Dataset's ``classes.csv`` lies at or just below ``directory``."""
    for candidate in (directory, directory / "dataset"):
        if (candidate / "classes.csv").is_file() and grocery_splits(candidate):
            return candidate
    return None


def grocery_splits(root: Path) -> tuple[str, ...]:
    """The splits that are listed at ``root``."""
    return tuple(split for split in SPLITS if (root / f"{split}.txt").is_file())


def read_grocery(root: Path, splits: tuple[str, ...]) -> tuple[Taxonomy, list[FoundImage]]:
    """The classes and the listed images of ``splits``; whether those are there is not looked at.

    Raises DatasetUnusable where a list is missing or malformed.
    """
    taxonomy = _read_taxonomy(root / "classes.csv")
    images: list[FoundImage] = []
    for split in splits:
        images += _read_listing(root, split, len(taxonomy.classes))
    return taxonomy, images


def _read_listing(root: Path, split: str, classes: int) -> list[FoundImage]:
    listing = root / f"{split}.txt"
    if not listing.is_file():
        raise DatasetUnusable(f"{root} has no split {split!r}: there is no {listing.name}")
    rows = csv.reader(_lines(listing), skipinitialspace=True)
    try:
        images = [FoundImage(root / row[0], int(row[1]), split) for row in rows]
    except (IndexError, ValueError, csv.Error) as error:
        raise DatasetUnusable(
            f"{listing}, line {rows.line_num}: not 'path, fine id, coarse id'"
        ) from error
    for number, image in enumerate(images, start=1):
        if not 0 <= image.label < classes:
            raise DatasetUnusable(f"{listing}, line {number}: no class has the id {image.label}")
    return images


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
    check_names(listing, [row[0] for row in rows])
    check_names(listing, list(coarse.values()))
    return Taxonomy(
        classes=tuple(row[0] for row in rows),
        coarse=tuple(coarse.values()),
        coarse_of=tuple(row[3] for row in rows),
    )


def _lines(listing: Path) -> Iterator[str]:
    """Its lines; a ValueError comes with the first that is no UTF-8."""
    try:
        content = read_regular(listing, MAX_LIST_BYTES)
    except OSError as error:
        raise DatasetUnusable(f"{listing}: {error.strerror or error}") from error
    return (line.decode() for line in content.splitlines(keepends=True))
