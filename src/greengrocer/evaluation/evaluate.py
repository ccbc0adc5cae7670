"""Run a labelled split through the serving pipeline and score the answers."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from greengrocer.bundles.manifest import Manifest
from greengrocer.context import Context
from greengrocer.datachecks.files import UnreadableFile
from greengrocer.datasets.dataset import Dataset
from greengrocer.datasets.layouts.names import alike
from greengrocer.datasets.layouts.tree import scan_tree
from greengrocer.engines.engine import Floats
from greengrocer.errors import DatasetUnusable, UsageError
from greengrocer.evaluation.map_images import Mapped, map_readable
from greengrocer.figures.intervals import auroc
from greengrocer.figures.score import ClassIds, Scores, score
from greengrocer.pipeline import Pipeline
from greengrocer.ranking import Answer, AnswerOptions, Level

MOST_LISTED = 10  # classes that a model lacks


@dataclass(frozen=True)
class AnswerScores:
    """Fractions of the images; the precision is of those named, None where none was.

    ``known_rate`` is None for a model that gives no known score.
    """

    known_rate: float | None
    answer_precision: float | None
    answer_coverage: dict[str, float]


@dataclass(frozen=True)
class Evaluation:
    """The figures and what they were computed from, image by image."""

    scores: Scores
    named: AnswerScores
    probabilities: Floats  # [N, classes]
    known_scores: Floats | None  # [N]; None for a model that gives none, as is evidence
    labels: ClassIds  # [N]
    # [N, h, w], of the predicted class only: all classes' would fill memory
    evidence: Floats | None
    paths: tuple[Path, ...]  # [N]
    unreadable: tuple[UnreadableFile, ...] = ()  # were left out


class NoneReadable(DatasetUnusable):
    """No image can be read; ``unreadable`` are all that were given, one at least."""

    def __init__(self, unreadable: Sequence[UnreadableFile]) -> None:
        self.unreadable = unreadable
        first = unreadable[0]
        super().__init__(
            f"none of the {len(unreadable):,} images can be read; the first is {first.path}: "
            f"{first.why}"
        )


@dataclass(frozen=True)
class UnknownImages:
    """Images that show none of the classes."""

    known_scores: Floats  # [M]
    unreadable: tuple[UnreadableFile, ...] = ()  # were left out

    def figures(self, known: Floats, threshold: float) -> dict[str, float]:
        """How many are called unknown, and how well the score tells them from ``known`` [N]."""
        return {
            "images": len(self.known_scores),
            "called_unknown": float((self.known_scores < threshold).mean()),
            "auroc": auroc(known, self.known_scores),
        }


def evaluate(pipeline: Pipeline, manifest: Manifest, labelled: Dataset, threads: int) -> Evaluation:
    """Classify every image on ``threads`` threads, with a progress bar, and score the answers.

    Images that cannot be read are left out. Raises DatasetUnusable for classes that the model does
    not have, and NoneReadable.
    """
    every = _model_labels(manifest, labelled)
    classified = _classify(pipeline, [image.path for image in labelled.pictures], threads)
    answers, labels = classified.results, every[classified.rows]
    paths = tuple(labelled.pictures[row].path for row in classified.rows)
    probabilities = np.stack([_by_class(a.top, manifest.classes) for a in answers])
    true_coarse, coarse_right = None, None
    if manifest.coarse is not None and manifest.coarse_of is not None:
        true_coarse = [manifest.coarse[manifest.coarse_of[label]] for label in labels]
        named = (answer.coarse.name for answer in answers if answer.coarse is not None)
        coarse_right = np.array([a == b for a, b in zip(named, true_coarse, strict=True)])
    evidence = [answer.evidence for answer in answers if answer.evidence is not None]
    return Evaluation(
        score(probabilities, labels, coarse_right),
        score_answers(answers, [manifest.classes[label] for label in labels], true_coarse),
        probabilities,
        _scores(answers),
        labels,
        np.stack(evidence) if evidence else None,
        paths,
        classified.unreadable,
    )


def known_scores(pipeline: Pipeline, directory: Path, threads: int) -> UnknownImages:
    """The known score of every image below ``directory`` that can be read, in order of their paths.

    Raises DatasetUnusable where there is none, and UsageError for a model that gives no known
    score.
    """
    if pipeline.labels.known_threshold is None:
        raise UsageError("this model gives no known score: leave out --unknown")
    paths = sorted(scan_tree(directory).top.below())
    if not paths:
        raise DatasetUnusable(f"{directory} holds no images")
    classified = _classify(pipeline, paths, threads)
    scores = _scores(classified.results)
    assert scores is not None  # it has a threshold
    return UnknownImages(scores, classified.unreadable)


def _scores(answers: Sequence[Answer]) -> Floats | None:
    """The known scores [N], or None for a model that gives none."""
    scores = [answer.known_score for answer in answers]
    return None if None in scores else np.array(scores, np.float32)


def _share(known: Sequence[bool]) -> float | None:
    return sum(known) / len(known) if known else None


def score_answers(
    answers: Sequence[Answer], fine: Sequence[str], coarse: Sequence[str] | None
) -> AnswerScores:
    """Score what was named against the true ``fine`` and ``coarse`` class of every image.

    ``unknown`` counts as abstention: it lowers the coverage, not the precision.
    """
    levels = Counter(answer.named.level for answer in answers)
    truth = {Level.FINE: fine, Level.COARSE: coarse or ()}
    named = [
        answer.named.name == truth[answer.named.level][index]
        for index, answer in enumerate(answers)
        if answer.named.level is not Level.UNKNOWN
    ]
    return AnswerScores(
        known_rate=_share([a.known for a in answers if a.known is not None]),
        answer_precision=sum(named) / len(named) if named else None,
        answer_coverage={level.value: levels[level] / len(answers) for level in Level},
    )


def _model_labels(manifest: Manifest, labelled: Dataset) -> ClassIds:
    """Class ids by name: a data set may have fewer classes than the model, never others."""
    ids = {name: index for index, name in enumerate(manifest.classes)}
    names = [labelled.taxonomy.classes[image.label] for image in labelled.pictures]
    strange = sorted(set(names) - set(ids))
    if strange:
        raise DatasetUnusable(
            f"the model {manifest.name} lacks classes that the data set has: "
            f"{_listed(strange, manifest.classes)}; it knows {len(set(names)) - len(strange)} of "
            f"the {len(set(names))} classes there: name the folders as the model does, name "
            "another model with --bundle, or leave folders out with --exclude"
        )
    return np.array([ids[name] for name in names])


def _listed(strange: Sequence[str], known: Sequence[str]) -> str:
    """The names that are not ``known``, each with the known one that is nearly the same."""
    nearly = {alike(name): name for name in known}
    told = [
        f"{name!r}" + (f" (it has {nearly[alike(name)]!r})" if alike(name) in nearly else "")
        for name in strange
    ]
    more = f" and {len(told) - MOST_LISTED:,} more" if len(told) > MOST_LISTED else ""
    return ", ".join(told[:MOST_LISTED]) + more


def _classify(pipeline: Pipeline, paths: Sequence[Path], threads: int) -> Mapped[Answer]:
    """Answers for all classes, with the evidence for the predicted one.

    Raises NoneReadable where no image can be read.
    """
    options = AnswerOptions(len(pipeline.labels.classes), evidence=True)

    def classify(_: int, data: bytes) -> Answer:
        return pipeline.classify(data, Context(), options)

    found = map_readable(paths, classify, threads, "evaluate")
    if not found.results:
        raise NoneReadable(found.unreadable)
    return found


def _by_class(top: Sequence[tuple[str, float]], classes: Sequence[str]) -> Floats:
    confidence = dict(top)
    return np.array([confidence[name] for name in classes], np.float32)
