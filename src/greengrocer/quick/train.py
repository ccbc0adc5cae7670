"""``train --quick``: a folder of images to a whole bundle, in a minute and without torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx

from greengrocer.bundles.attribution import GROCERY
from greengrocer.bundles.save import check_new
from greengrocer.datachecks.files import UnreadableFile
from greengrocer.datachecks.places import Places, find_places
from greengrocer.datachecks.problems import (
    EXAMPLES,
    Problem,
    Severity,
    counted,
    find_problems,
    same_file,
)
from greengrocer.datasets.dataset import Dataset, LabelledImage, is_grocery_store_dataset
from greengrocer.datasets.layouts.read import (
    Collection,
    FoundImage,
    read_collection,
    without,
)
from greengrocer.datasets.layouts.tables import UNUSABLE
from greengrocer.engines.engine import Floats
from greengrocer.errors import DatasetUnusable
from greengrocer.features.backbone import GEOMETRY, NAME, ORIGIN, backbone_bytes
from greengrocer.features.extract import Extracted, shipped_embedder
from greengrocer.features.statistics import Statistics, gather
from greengrocer.features.statistics_checks import Settings
from greengrocer.features.statistics_file import pack
from greengrocer.graphs.answers import Head
from greengrocer.quick.bundling import Content, made_now, write
from greengrocer.quick.calibration import FOLDS, Calibration, calibrate
from greengrocer.quick.head import make_head
from greengrocer.quick.shots import shots_of
from greengrocer.training.recipe import Export

CALIBRATION = Export()


class Labelled(NamedTuple):
    """Images that can be read with their features, and the files that were left out.

    ``places`` names that of each image of ``data``. ``held_out`` is the split "val" under the same
    taxonomy, with features ``judged``; empty where there is none. ``tested`` counts the images of
    the split "test", which are not read. ``problems`` are those that a check of the files finds,
    and items of theirs are paths below ``root``.
    """

    data: Dataset
    extracted: Extracted
    unreadable: tuple[UnreadableFile, ...]
    places: tuple[str | None, ...]
    held_out: tuple[LabelledImage, ...]
    judged: Floats
    tested: int
    problems: tuple[Problem, ...]
    root: Path


class Trained(NamedTuple):
    """A bundle that was written, what it was made of, and the files that were left out.

    ``right`` of the images of the split "val" were answered right. ``places`` are those of the
    images that trained it; None where they have none.
    """

    bundle: Path
    labelled: Labelled
    statistics: Statistics
    calibration: Calibration
    right: int
    places: Places | None

    @property
    def leaked(self) -> int:
        """How many images of the split "val" trained it as well, byte for byte."""
        return len({each.digest for each in self.labelled.held_out} & self._digests)

    @property
    def _digests(self) -> set[str | None]:
        return {each.digest for each in self.labelled.data.pictures}


def train_quick(
    data: Path,
    out: Path,
    seed: int = 7,
    *,
    coarse: str | None = None,
    exclude: Sequence[str] = (),
) -> Trained:
    """Train on the images at ``data`` and write the bundle ``out``.

    Where they have a split "val", that is held out: it judges the bundle, and nothing else.
    ``coarse`` and ``exclude`` are those of ``datasets.layouts.read.read_collection``.
    Raises UsageError where ``out`` exists, and DatasetUnusable for whatever is wrong with the data.
    """
    check_new(out)
    labelled = read_labelled(data, coarse=coarse, exclude=exclude)
    dataset, extracted = labelled.data, labelled.extracted
    labels = np.array([image.label for image in dataset.pictures], np.int64)
    _check_contradictions(data, labelled)
    places = find_places(dataset.pictures, extracted.features, labelled.places)
    statistics = gather(
        dataset.taxonomy.classes,
        extracted.digests,
        labels,
        extracted.features,
        shots_of([image.path for image in dataset.pictures], places.joined if places else None),
    )
    calibration = calibrate(statistics, dataset.taxonomy.coarse_of, seed, CALIBRATION)
    head = make_head(statistics, calibration, dataset.taxonomy.coarse_of)
    scores = extracted.features @ head.weight + head.bias
    right, judged = _judge(labelled, head)
    content = Content(
        name=bundle_name(out),
        taxonomy=dataset.taxonomy,
        geometry=GEOMETRY,
        calibration=calibration._replace(metrics=calibration.metrics | judged),
        provenance=_provenance(data, labelled, calibration, seed),
        trained_on=extracted.digests,
        statistics=pack(statistics, Settings(seed=seed)),
    )
    backbone = onnx.load_from_string(backbone_bytes())
    write(content, backbone, head, surest(dataset.pictures, scores), out)
    return Trained(out, labelled, statistics, calibration, right, places)


def read_labelled(
    data: Path, *, coarse: str | None = None, exclude: Sequence[str] = ()
) -> Labelled:
    """All labelled images at ``data``, of any layout, but those of the split "test".

    Every file is decoded once. Raises DatasetUnusable where there are fewer than two classes to
    train, a class has no image, or is in the split "val" alone.
    """
    found = read_collection(data, coarse=coarse, exclude=exclude)
    tested = {image.path for image in found.images if image.split == "test"}
    learned = without(found, tested)
    paths = [image.path for image in learned.images]
    read = shipped_embedder().extract_readable(paths)
    unreadable = tuple(UnreadableFile(paths[row], why) for row, why in read.unreadable.items())
    readable = without(learned, {each.path for each in unreadable})
    rows = {image.path: row for row, image in enumerate(readable.images)}
    held = [image for image in readable.images if image.split == "val"]
    training = without(readable, {image.path for image in held})
    _check_classes(data, training, bool(unreadable or found.left_out))
    ids = {name: label for label, name in enumerate(training.taxonomy.classes)}
    names = readable.taxonomy.classes
    digests = read.extracted.digests

    def labelled(image: FoundImage, label: int) -> LabelledImage:
        return LabelledImage(image.path, label, digests[rows[image.path]])

    unknown = sorted({names[image.label] for image in held} - set(ids))
    if unknown:
        raise DatasetUnusable(
            f"{data}: the class {unknown[0]!r} is in the split val, but not in train: put some of "
            "its images into train, or take it out of val"
        )
    images = tuple(labelled(image, image.label) for image in training.images)
    held_out = tuple(labelled(image, ids[names[image.label]]) for image in held)
    features = read.extracted.features
    extracted = Extracted(
        features[[rows[image.path] for image in images]], tuple(str(each.digest) for each in images)
    )
    return Labelled(
        Dataset(training.taxonomy, images),
        extracted,
        unreadable,
        tuple(image.place for image in training.images),
        held_out,
        features[[rows[image.path] for image in held_out]],
        len(tested),
        _problems(without(found, {each.path for each in unreadable}), unreadable),
        found.root,
    )


def _problems(found: Collection, unreadable: Sequence[UnreadableFile]) -> tuple[Problem, ...]:
    """What a check of the files finds, but for errors: those that count here were raised."""
    problems = find_problems(found, unreadable)
    return tuple(each for each in problems if each.severity is not Severity.ERROR)


def _check_classes(data: Path, training: Collection, left_out: bool) -> None:
    """Raise DatasetUnusable where fewer than two classes can be trained, or one is empty.

    ``left_out`` says whether there are files that do not count.
    """
    classes = training.taxonomy.classes
    if len(classes) < 2:
        what = "one class" if classes else "no image that can be read"
        where = " in the split train" if training.has_splits else ""
        lists = [name for note in training.notes if note.code == UNUSABLE for name in note.names]
        told = f"; its list cannot be used: {lists[0]}" if lists else ""
        told += f"; `greengrocer data check {data}` says what is left out" if left_out else ""
        raise DatasetUnusable(
            f"{data} holds {what}{where}: training needs at least two classes{told}"
        )
    counts = np.bincount([image.label for image in training.images], minlength=len(classes))
    empty = [name for name, count in zip(classes, counts, strict=True) if not count]
    if empty:
        raise DatasetUnusable(
            f"{data}: the class {empty[0]!r} has no images: add some, or delete its folder"
        )


def _judge(labelled: Labelled, head: Head) -> tuple[int, dict[str, float]]:
    """How many images of the split "val" are answered right, and that as a bundle's metrics."""
    if not labelled.held_out:
        return 0, {}
    answers = (labelled.judged @ head.weight + head.bias).argmax(axis=1)
    right = int((answers == [image.label for image in labelled.held_out]).sum())
    count = len(labelled.held_out)
    return right, {"held_out_pictures": float(count), "held_out_top1": 100 * right / count}


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


def _check_contradictions(data: Path, labelled: Labelled) -> None:
    """Raise DatasetUnusable for files that are in two classes."""
    images = [*labelled.data.pictures, *labelled.held_out]
    for problem in same_file(images, [None] * len(images), labelled.root):
        pairs = "; ".join(problem.items[:EXAMPLES])
        rest = len(problem.items) - EXAMPLES
        more = f" and {rest:,} more, which `greengrocer data check` lists" if rest > 0 else ""
        raise DatasetUnusable(
            f"{data}: {counted(len(problem.items), 'file')} in two classes, byte for byte: {pairs}"
            f"{more}: {problem.todo}"
        )


def _provenance(
    data: Path, labelled: Labelled, calibration: Calibration, seed: int
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
        "training": {"pictures": len(labelled.data.pictures)},
        "pretrained_origin": ORIGIN,
    }
    if calibration.judged:
        origin["out_of_fold"] = {"folds": FOLDS, "pictures": calibration.judged}
    if labelled.held_out:
        origin["held_out"] = {"split": "the split val", "calibrates": False}
    if is_grocery_store_dataset(data):
        origin["dataset"] = GROCERY._asdict()
    return origin | made_now()
