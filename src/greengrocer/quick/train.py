"""``train --quick``: a folder of images to a whole bundle, in a minute and without torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx

from greengrocer.bundles.attribution import GROCERY
from greengrocer.bundles.save import check_new
from greengrocer.datachecks.files import UnreadableFile
from greengrocer.datasets.dataset import Dataset, LabelledImage, is_grocery_store_dataset
from greengrocer.datasets.layouts.read import read_collection, without
from greengrocer.errors import DatasetUnusable
from greengrocer.features.backbone import GEOMETRY, NAME, ORIGIN, backbone_bytes
from greengrocer.features.extract import Extracted, shipped_embedder
from greengrocer.features.statistics import Statistics, gather
from greengrocer.features.statistics_checks import Settings
from greengrocer.features.statistics_file import pack
from greengrocer.quick.bundling import Content, made_now, write
from greengrocer.quick.calibration import FOLDS, Calibration, calibrate
from greengrocer.quick.head import make_head
from greengrocer.quick.shots import shots_of
from greengrocer.training.recipe import Export

CALIBRATION = Export()


class Labelled(NamedTuple):
    """Images that can be read with their features, and the files that were left out."""

    data: Dataset
    extracted: Extracted
    unreadable: tuple[UnreadableFile, ...]


class Trained(NamedTuple):
    """A bundle that was written, what it was made of, and the files that were left out."""

    bundle: Path
    data: Dataset
    statistics: Statistics
    calibration: Calibration
    unreadable: tuple[UnreadableFile, ...]


def train_quick(
    data: Path,
    out: Path,
    seed: int = 7,
    *,
    coarse: str | None = None,
    exclude: Sequence[str] = (),
) -> Trained:
    """Train on the images at ``data`` and write the bundle ``out``.

    ``coarse`` and ``exclude`` are those of ``datasets.layouts.read.read_collection``.
    Raises UsageError where ``out`` exists, and DatasetUnusable for whatever is wrong with the data.
    """
    check_new(out)
    dataset, extracted, unreadable = read_labelled(data, coarse=coarse, exclude=exclude)
    labels = np.array([image.label for image in dataset.pictures], np.int64)
    _check_contradictions(dataset, extracted)
    statistics = gather(
        dataset.taxonomy.classes,
        extracted.digests,
        labels,
        extracted.features,
        shots_of([image.path for image in dataset.pictures]),
    )
    calibration = calibrate(statistics, dataset.taxonomy.coarse_of, seed, CALIBRATION)
    head = make_head(statistics, calibration, dataset.taxonomy.coarse_of)
    scores = extracted.features @ head.weight + head.bias
    content = Content(
        name=bundle_name(out),
        taxonomy=dataset.taxonomy,
        geometry=GEOMETRY,
        calibration=calibration,
        provenance=_provenance(data, dataset, calibration, seed),
        trained_on=extracted.digests,
        statistics=pack(statistics, Settings(seed=seed)),
    )
    backbone = onnx.load_from_string(backbone_bytes())
    write(content, backbone, head, surest(dataset.pictures, scores), out)
    return Trained(out, dataset, statistics, calibration, unreadable)


def read_labelled(
    data: Path, *, coarse: str | None = None, exclude: Sequence[str] = ()
) -> Labelled:
    """All labelled images at ``data``, of any layout, but those of the split "test".

    Every file is decoded once. Raises DatasetUnusable where there are fewer than two classes, or a
    class has no image.
    """
    found = read_collection(data, coarse=coarse, exclude=exclude)
    tested = {image.path for image in found.images if image.split == "test"}
    learned = without(found, tested)
    paths = [image.path for image in learned.images]
    read = shipped_embedder().extract_readable(paths)
    unreadable = tuple(UnreadableFile(paths[row], why) for row, why in read.unreadable.items())
    readable = without(learned, {each.path for each in unreadable})
    classes = readable.taxonomy.classes
    if len(classes) < 2:
        what = "one class" if classes else "no image that can be read"
        raise DatasetUnusable(f"{data} holds {what}: training needs at least two classes")
    images = tuple(
        LabelledImage(image.path, image.label, digest)
        for image, digest in zip(readable.images, read.extracted.digests, strict=True)
    )
    counts = np.bincount([image.label for image in images], minlength=len(classes))
    empty = [name for name, count in zip(classes, counts, strict=True) if not count]
    if empty:
        raise DatasetUnusable(
            f"{data}: the class {empty[0]!r} has no images: add some, or delete its folder"
        )
    return Labelled(Dataset(readable.taxonomy, images), read.extracted, unreadable)


def bundle_name(out: Path) -> str:
    """A name for the bundle at ``out`` that a manifest may have."""
    letters = "".join(c if c.isascii() and c.isalnum() else "-" for c in out.name.lower())
    return letters.strip("-")[:100] or "quick"


def surest(images: Sequence[LabelledImage], scores: np.ndarray) -> list[Path]:
    """The images whose own class leads by most in ``scores`` [N, classes], each class in turn."""
    labels = np.array([image.label for image in images])
    rows = np.arange(len(labels))
    others = scores.copy()
    others[rows, labels] = -np.inf
    lead = scores[rows, labels] - others.max(axis=1)
    first: dict[int, int] = {}
    for index in np.argsort(-lead, kind="stable"):
        first.setdefault(int(labels[index]), int(index))
    return [images[index].path for index in first.values()]


def _check_contradictions(dataset: Dataset, extracted: Extracted) -> None:
    """Raise DatasetUnusable for a file that is in two classes."""
    seen: dict[str, LabelledImage] = {}
    for image, digest in zip(dataset.pictures, extracted.digests, strict=True):
        before = seen.setdefault(digest, image)
        if before.label != image.label:
            raise DatasetUnusable(
                f"{before.path} and {image.path} are the same image in two classes: delete one"
            )


def _provenance(
    data: Path, dataset: Dataset, calibration: Calibration, seed: int
) -> dict[str, Any]:
    origin: dict[str, Any] = {
        "recipe": {
            "name": "quick",
            "seed": seed,
            "backbone": NAME,
            "pretrained": True,
            "head": "linear discriminant analysis with a shrunk covariance",
            "export": {
                "known_quantile": CALIBRATION.known_quantile,
                "answer_precision": CALIBRATION.answer_precision,
            },
        },
        "training": {"pictures": len(dataset.pictures)},
        "pretrained_origin": ORIGIN,
    }
    if calibration.judged:
        origin["out_of_fold"] = {"folds": FOLDS, "pictures": calibration.judged}
    if is_grocery_store_dataset(data):
        origin["dataset"] = GROCERY._asdict()
    return origin | made_now()
