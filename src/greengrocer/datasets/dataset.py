"""Splits of labelled images in a directory of any layout, and the Grocery Store Dataset."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from greengrocer.datasets.checksums import shipped_checksums
from greengrocer.datasets.labelled import Dataset, LabelledImage, Taxonomy
from greengrocer.datasets.layouts.collection import restrict
from greengrocer.datasets.layouts.grocery import grocery_root, read_grocery
from greengrocer.datasets.layouts.read import Collection, FoundImage, read_collection
from greengrocer.errors import DatasetUnusable
from greengrocer.regular_files import MAX_LIST_BYTES, read_regular

__all__ = [
    "Dataset",
    "LabelledImage",
    "Taxonomy",
    "grocery_root",
    "has_splits",
    "is_grocery_store_dataset",
    "read_split",
    "view_split",
]


def read_split(
    directory: Path, split: str, *, coarse: str | None = None, exclude: Sequence[str] = ()
) -> Dataset:
    """The images of ``split`` ("train", "val" or "test") at ``directory``, of any layout.

    Where the images have no splits, they are one set, whatever split is asked for. ``coarse`` and
    ``exclude`` are those of ``layouts.read.read_collection``.

    Raises DatasetUnusable where there is nothing of the kind.
    """
    root = grocery_root(directory)
    if root is not None and coarse is None and not exclude:
        # What the other splits are, and whether each file is there, does not matter here.
        taxonomy, images = read_grocery(root, (split,))
        return Dataset(taxonomy, _labelled(images, directory, split))
    return view_split(read_collection(directory, coarse=coarse, exclude=exclude), split)


def view_split(collection: Collection, split: str) -> Dataset:
    """The images of ``split`` in ``collection``; all, where it has no splits.

    The taxonomy has the classes of these images alone, but for the Grocery Store Dataset, which
    lists its classes. Raises DatasetUnusable where there are no such images.
    """
    images = collection.images
    if collection.has_splits:
        images = tuple(image for image in images if image.split == split)
        if not images:
            there = " and ".join(sorted({str(image.split) for image in collection.images}))
            raise DatasetUnusable(f"{collection.root} has no split {split!r}: it has {there}")
    found = _labelled(images, collection.root, split)
    if collection.layout == "grocery":
        return Dataset(collection.taxonomy, found)
    return _with_classes_of(collection.taxonomy, found)


def has_splits(directory: Path, *, coarse: str | None = None, exclude: Sequence[str] = ()) -> bool:
    """Whether ``directory`` tells its splits apart; else it is one set, whatever split is asked."""
    if grocery_root(directory) is not None:
        return True
    return read_collection(directory, coarse=coarse, exclude=exclude).has_splits


def is_grocery_store_dataset(directory: Path) -> bool:
    """Whether the Grocery Store Dataset itself lies at ``directory``, by its list of classes."""
    root = grocery_root(directory)
    if root is None:
        return False
    try:
        listing = read_regular(root / "classes.csv", MAX_LIST_BYTES)
    except OSError as error:
        raise DatasetUnusable(f"{root / 'classes.csv'}: {error.strerror or error}") from error
    return hashlib.sha256(listing).hexdigest() == shipped_checksums()["dataset/classes.csv"]


def _labelled(
    images: Sequence[FoundImage], directory: Path, split: str
) -> tuple[LabelledImage, ...]:
    if not images:
        raise DatasetUnusable(f"{directory} holds no images of the split {split!r}")
    return tuple(LabelledImage(image.path, image.label) for image in images)


def _with_classes_of(taxonomy: Taxonomy, images: tuple[LabelledImage, ...]) -> Dataset:
    """The images, and a taxonomy of their classes alone."""
    kept, ids = restrict(taxonomy, {image.label for image in images})
    return Dataset(kept, tuple(replace(image, label=ids[image.label]) for image in images))
