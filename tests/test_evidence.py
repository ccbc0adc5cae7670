"""The evidence of the shipped model explains the answer."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from greengrocer.assemble_pipeline import build_pipeline
from greengrocer.bundles.bundle import load_bundle
from greengrocer.context import Context
from greengrocer.datasets.gallery import built_in_gallery
from greengrocer.imaging.decode import decode
from greengrocer.imaging.geometry import Pixels
from greengrocer.pipeline import Pipeline
from greengrocer.ranking import AnswerOptions

Floats = npt.NDArray[np.float32]
COVER = 0.3  # of each side


@pytest.fixture(scope="module")
def pipeline(shipped_bundle: Path) -> Iterator[Pipeline]:
    made = build_pipeline(load_bundle(shipped_bundle))
    yield made
    made.close()


@pytest.fixture(scope="module")
def pictures() -> list[Pixels]:
    """The gallery, which any run has."""
    return [np.asarray(decode(shown.path.read_bytes())) for shown in built_in_gallery().pictures]


def logit(pipeline: Pipeline, picture: Pixels, label: int) -> float:
    tensors = pipeline.classify(picture, Context(), AnswerOptions(tensors=("evidence",))).tensors
    return float(tensors["evidence"][..., label].mean())


def covered(picture: Pixels, at: tuple[float, float]) -> Pixels:
    """The image with a grey square around a place, from 0 to 1 down and across."""
    height, width = picture.shape[:2]
    tall, wide = round(height * COVER), round(width * COVER)
    top = round(min(max(at[0] - COVER / 2, 0), 1 - COVER) * height)
    left = round(min(max(at[1] - COVER / 2, 0), 1 - COVER) * width)
    masked = picture.copy()
    masked[top : top + tall, left : left + wide] = 127
    return masked


def test_the_means_of_the_evidence_are_the_logits(
    pipeline: Pipeline, pictures: list[Pixels]
) -> None:
    for picture in pictures:
        options = AnswerOptions(evidence=True, tensors=("probabilities", "evidence"))
        answer = pipeline.classify(picture, Context(), options)
        logits = answer.tensors["evidence"].mean(axis=(0, 1), dtype=np.float64)
        odds = np.exp(logits - logits.max())
        np.testing.assert_allclose(odds / odds.sum(), answer.tensors["probabilities"], atol=1e-5)
        assert answer.evidence is not None
        best = pipeline.labels.classes.index(answer.top[0].name)
        np.testing.assert_array_equal(answer.evidence, answer.tensors["evidence"][..., best])


@pytest.mark.accept
def test_covering_the_strongest_evidence_lowers_the_class_most(
    pipeline: Pipeline, pictures: list[Pixels]
) -> None:
    random = np.random.default_rng(7)
    gains = []
    for picture in pictures:
        answer = pipeline.classify(picture, Context(), AnswerOptions(evidence=True))
        assert answer.evidence is not None
        best = pipeline.labels.classes.index(answer.top[0].name)
        row, column = np.unravel_index(answer.evidence.argmax(), answer.evidence.shape)
        strongest = tuple((np.array([row, column]) + 0.5) / answer.evidence.shape)
        anywhere = [tuple(random.uniform(0, 1, 2)) for _ in range(4)]
        left = logit(pipeline, covered(picture, strongest), best)
        others = [logit(pipeline, covered(picture, place), best) for place in anywhere]
        gains.append(np.mean(others) - left)
    assert np.mean(gains) > 2 * np.std(gains) / np.sqrt(len(gains)), gains
