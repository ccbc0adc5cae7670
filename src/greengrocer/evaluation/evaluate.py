"""Run a labelled split through the serving pipeline and score the answers."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from greengrocer.bundles.manifest import Manifest
from greengrocer.context import Context
from greengrocer.datasets.labelled import LabelledPicture, LabelledSet
from greengrocer.engines.engine import Floats
from greengrocer.errors import DatasetUnusable, PictureRefused
from greengrocer.evaluation.answers import AnswerScores, score_answers
from greengrocer.evaluation.score import Labels, Scores, score
from greengrocer.pipeline import Pipeline
from greengrocer.ranking import Answer


@dataclass(frozen=True)
class Evaluation:
    """The figures and what they were computed from, picture by picture."""

    scores: Scores
    named: AnswerScores
    probabilities: Floats  # [N, classes]
    known_scores: Floats  # [N]
    labels: Labels  # [N]


def evaluate(
    pipeline: Pipeline, manifest: Manifest, labelled: LabelledSet, threads: int
) -> Evaluation:
    """Classify every picture on ``threads`` threads, with a progress bar, and score the answers.

    Raises DatasetUnusable for a class that the model does not have, or a picture that is refused.
    """
    labels = _model_labels(manifest, labelled)
    answers = _classify(pipeline, labelled.pictures, threads)
    probabilities = np.stack([_by_class(a.top, manifest.classes) for a in answers])
    coarse, coarse_labels, true_coarse = None, None, None
    if manifest.coarse is not None and manifest.coarse_of is not None:
        membership = np.eye(len(manifest.coarse), dtype=np.float32)[list(manifest.coarse_of)]
        coarse = probabilities @ membership
        coarse_labels = np.array(manifest.coarse_of)[labels]
        true_coarse = [manifest.coarse[label] for label in coarse_labels]
    return Evaluation(
        score(probabilities, labels, coarse, coarse_labels),
        score_answers(answers, [manifest.classes[label] for label in labels], true_coarse),
        probabilities,
        np.array([answer.known_score for answer in answers], np.float32),
        labels,
    )


def _model_labels(manifest: Manifest, labelled: LabelledSet) -> Labels:
    """Class ids by name: a data set may have fewer classes than the model, never others."""
    ids = {name: index for index, name in enumerate(manifest.classes)}
    names = [labelled.taxonomy.classes[picture.label] for picture in labelled.pictures]
    strange = sorted(set(names) - set(ids))
    if strange:
        raise DatasetUnusable(
            f"the model {manifest.name} has no class {strange[0]!r}, which the data set has"
        )
    return np.array([ids[name] for name in names])


def _classify(
    pipeline: Pipeline, pictures: Sequence[LabelledPicture], threads: int
) -> list[Answer]:
    everything = len(pipeline.labels.classes)

    def classify(picture: LabelledPicture) -> Answer:
        try:
            return pipeline.classify(picture.path.read_bytes(), Context(), top=everything)
        except OSError as error:
            raise DatasetUnusable(f"{picture.path}: {error.strerror}") from error
        except PictureRefused as error:
            raise DatasetUnusable(f"{picture.path}: {error}") from error

    with ThreadPoolExecutor(threads, thread_name_prefix="evaluate") as pool:
        answers = pool.map(classify, pictures)
        return list(tqdm(answers, "evaluate", len(pictures), unit="picture", mininterval=1))


def _by_class(top: Sequence[tuple[str, float]], classes: Sequence[str]) -> Floats:
    confidence = dict(top)
    return np.array([confidence[name] for name in classes], np.float32)
