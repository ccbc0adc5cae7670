"""Which of the scored images trained the model: figures for those are too good."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from greengrocer.bundles.attribution import is_grocery
from greengrocer.bundles.bundle import Bundle
from greengrocer.bundles.manifest import Manifest
from greengrocer.bundles.trained_on import read_trained_on
from greengrocer.datasets.checksums import shipped_checksums
from greengrocer.datasets.dataset import Dataset
from greengrocer.datasets.progress import bytes_bar
from greengrocer.errors import DatasetUnusable
from greengrocer.regular_files import open_regular

CHUNK = 1 << 20  # bytes that are hashed at a time


class TrainingOverlap(NamedTuple):
    """How many of the scored images trained the model, and how many were left out for that reason.

    ``trained_on`` is None where the bundle does not say.
    """

    trained_on: int | None = None
    left_out: int = 0

    def sentence(self, manifest: Manifest, split: str | None, images: int) -> str:
        """In a sentence, whether the figures for ``images`` of ``split`` flatter the model."""
        name = manifest.name
        if self.trained_on:
            part = "all" if self.trained_on == images else f"{self.trained_on:,}"
            return f"{name} was trained on {part} of these images, so the figures flatter it."
        if self.trained_on is not None:
            left_out = f": the {self.left_out:,} that it was trained on are left out"
            return f"{name} was trained on none of them{left_out if self.left_out else ''}."
        if split in _splits(manifest):
            return f"{name} was trained on images of this very split, so the figures flatter it."
        return (
            f"The bundle {name} does not say whether it was trained on these images: if it was, "
            "the figures flatter it."
        )


def scored_images(
    bundle: Bundle, labelled: Dataset, unseen: bool
) -> tuple[Dataset, TrainingOverlap]:
    """The images to score: the ``labelled`` ones, but for those that trained it, if ``unseen``.

    A bundle lists the digests of what trained it. One that is older names splits; those of the
    Grocery Store Dataset are known. An image that cannot be read counts as one that trained
    nothing. Raises DatasetUnusable where ``unseen`` ones are asked for but there are none, or it is
    not known.
    """
    name, images = bundle.manifest.name, labelled.pictures
    trained = read_trained_on(bundle) or _listed(bundle.manifest)
    if trained is None:
        if unseen:
            raise DatasetUnusable(
                f"the bundle {name} does not say which images trained it: leave out --unseen, and "
                "give images that you know it has not seen"
            )
        return labelled, TrainingOverlap()
    digests = _digests([image.path for image in images])
    left = tuple(
        image
        for image, each in zip(images, digests, strict=True)
        if each is None or each not in trained
    )
    count = len(images) - len(left)
    if not unseen:
        return labelled, TrainingOverlap(count)
    if not left:
        raise DatasetUnusable(
            f"{name} was trained on all of these {count:,} images: give others with --data, or "
            "leave out --unseen for figures that flatter it"
        )
    return Dataset(labelled.taxonomy, left), TrainingOverlap(0, count)


def _listed(manifest: Manifest) -> frozenset[str] | None:
    """The digests of the splits of the Grocery Store Dataset that the provenance names."""
    splits = _splits(manifest)
    if not is_grocery(manifest) or not splits or not {"train", "val"}.issuperset(splits):
        return None
    folders = tuple(f"dataset/{split}/" for split in splits)
    listing = shipped_checksums()
    return frozenset(digest for path, digest in listing.items() if path.startswith(folders))


def _splits(manifest: Manifest) -> list[str]:
    """The splits that trained the model, as its provenance names them, which is any JSON."""
    training = manifest.provenance.get("training")
    split = training.get("split") if isinstance(training, dict) else None
    return split.split(" + ") if isinstance(split, str) else []


def _digests(paths: Sequence[Path]) -> list[str | None]:
    """The SHA-256 of each file in hexadecimal, with a progress bar; None for one unreadable."""
    with bytes_bar("hashing", sum(map(_size, paths))) as advance:
        return [_digest(path, advance) for path in paths]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _digest(path: Path, advance: Callable[[int], object]) -> str | None:
    digest = hashlib.sha256()
    try:
        with open_regular(path) as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
                advance(len(chunk))
    except OSError:
        return None
    return digest.hexdigest()
