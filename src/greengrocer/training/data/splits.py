"""Which images train the model, and which are held out to calibrate and to judge it."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from greengrocer.datasets.dataset import (
    Dataset,
    LabelledImage,
    Taxonomy,
    grocery_root,
    read_split,
)
from greengrocer.datasets.layouts.read import read_collection
from greengrocer.errors import DatasetUnusable
from greengrocer.training.data.embeddings import embed_images
from greengrocer.training.data.scenes import scene_hold_out
from greengrocer.training.recipe import Recipe

HELD_OUT = 0.2  # of the training images, where the data set has no split "val"

OWN_SPLIT = "the split val"  # of a person's own: nothing ever trains on it


class Splits(NamedTuple):
    """``held_out`` never trains. ``origin`` says where it comes from, for the provenance."""

    taxonomy: Taxonomy
    training: tuple[LabelledImage, ...]
    held_out: tuple[LabelledImage, ...]
    origin: str


def read_splits(data: Path, recipe: Recipe) -> Splits:
    """The split "train", and "val" or else a fixed fifth of each class of "train".

    Where the recipe trains on "train" and "val", a fold of the scenes of both is held out instead.
    Raises DatasetUnusable where images are missing, or their classes do not match.
    """
    seed, splits = recipe.split_seed, recipe.data.splits
    train = read_together(data, splits)
    if "val" in splits:
        training, held_out = scene_hold_out(
            train.pictures, embed_images(train.pictures, recipe).embeddings, seed
        )
        origin = f"a quarter of the scenes of train + val, drawn with the seed {seed}"
    elif _has_validation(data):
        held_out = _relabelled(read_split(data, "val"), train.taxonomy, data)
        return Splits(train.taxonomy, train.pictures, held_out, OWN_SPLIT)
    else:
        training, held_out = draw_held_out(train.pictures, seed)
        origin = f"a fifth of each class of train, drawn with the seed {seed}"
    if not held_out:
        raise DatasetUnusable(f"{data} holds too few images: no class has two")
    return Splits(train.taxonomy, training, held_out, origin)


def read_together(data: Path, splits: Sequence[str]) -> Dataset:
    """The images of ``splits``, "train" first, under the labels of "train".

    Raises DatasetUnusable where images are missing, or their classes do not match.
    """
    train = read_split(data, "train")
    if len(train.taxonomy.classes) < 2:
        raise DatasetUnusable(f"{data} holds one class: training needs at least two")
    if "val" not in splits:
        return train
    if not _has_validation(data):
        raise DatasetUnusable(f"{data} has no split 'val', which the recipe asks for")
    val = _relabelled(read_split(data, "val"), train.taxonomy, data)
    return Dataset(train.taxonomy, train.pictures + val)


def _has_validation(data: Path) -> bool:
    root = grocery_root(data)
    if root:
        return (root / "val.txt").is_file()
    return any(image.split == "val" for image in read_collection(data).images)


def _relabelled(split: Dataset, taxonomy: Taxonomy, data: Path) -> tuple[LabelledImage, ...]:
    """The images with the labels of ``taxonomy``: a split may lack some of its classes."""
    ids = {name: label for label, name in enumerate(taxonomy.classes)}
    unknown = [name for name in split.taxonomy.classes if name not in ids]
    if unknown:
        raise DatasetUnusable(
            f"{data}: the class {unknown[0]!r} is in val but not in train: put some of its images "
            "there, or take it out of val"
        )
    names = split.taxonomy.classes
    return tuple(LabelledImage(p.path, ids[names[p.label]]) for p in split.pictures)


def draw_held_out(
    pictures: Sequence[LabelledImage], seed: int
) -> tuple[tuple[LabelledImage, ...], tuple[LabelledImage, ...]]:
    """Training and held-out images: a fifth of each class that has two is held out."""
    random = np.random.default_rng(seed)
    chosen: set[int] = set()
    for label in sorted({picture.label for picture in pictures}):
        members = [index for index, picture in enumerate(pictures) if picture.label == label]
        count = max(1, round(HELD_OUT * len(members))) if len(members) > 1 else 0
        chosen.update(int(index) for index in random.permutation(members)[:count])
    training = tuple(p for index, p in enumerate(pictures) if index not in chosen)
    return training, tuple(p for index, p in enumerate(pictures) if index in chosen)
