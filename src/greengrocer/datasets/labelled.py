"""Labelled images and what their labels mean."""

from dataclasses import dataclass
from pathlib import Path


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
