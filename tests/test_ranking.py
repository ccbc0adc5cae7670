import numpy as np
import pytest

from greengrocer.engines.engine import Inference
from greengrocer.ranking import AnswerOptions, Level, ModelId, ModelLabels, NamedClass, Ranked, rank

MODEL = ModelId("fruit", "1")
LABELS = ModelLabels(MODEL, ("apple", "banana", "cherry", "date"), ("red", "yellow"), 0.5)
PROBABILITIES = [[0.1, 0.2, 0.3, 0.4], [0.25, 0.25, 0.25, 0.25]]


def inference(known: float = 0.5) -> Inference:
    """Two images' answers."""
    return Inference(
        np.array(PROBABILITIES, np.float32),
        np.array([known, 0.0], np.float32),
        np.arange(2 * 4, dtype=np.float32).reshape(2, 1, 1, 4),
        np.array([[0.6, 0.4], [0.5, 0.5]], np.float32),
    )


def test_the_best_classes_come_first_with_their_own_confidence() -> None:
    answer = rank(inference(), 0, LABELS, AnswerOptions(top=3))
    assert [ranked.name for ranked in answer.top] == ["date", "cherry", "banana"]
    assert [ranked.confidence for ranked in answer.top] == pytest.approx([0.4, 0.3, 0.2])
    assert answer.model == MODEL


def test_equal_probabilities_are_ordered_by_class_id() -> None:
    assert [name for name, _ in rank(inference(), 1, LABELS, AnswerOptions(4)).top] == list(
        LABELS.classes
    )
    many = ModelLabels(MODEL, tuple(map(str, range(400))), None, 0.5)
    two_levels = np.array([[0.004, 0.001] * 200], np.float32)
    answer = rank(inference()._replace(probabilities=two_levels), 0, many, AnswerOptions(400))
    assert [int(name) for name, _ in answer.top] == [*range(0, 400, 2), *range(1, 400, 2)]


def test_more_than_all_classes_are_all_classes() -> None:
    assert len(rank(inference(), 0, LABELS, AnswerOptions(99)).top) == 4


def test_the_coarse_answer_is_its_own_best_even_against_the_fine_one() -> None:
    answer = rank(inference(), 0, LABELS)
    assert answer.top[0].name == "date"
    assert answer.coarse == Ranked("red", float(np.float32(0.6)))


def test_without_a_hierarchy_there_is_no_coarse_answer() -> None:
    flat = ModelLabels(MODEL, LABELS.classes, None, 0.5)
    assert rank(inference()._replace(coarse=None), 0, flat).coarse is None


@pytest.mark.parametrize(("score", "known"), [(0.49, False), (0.5, True), (0.51, True)])
def test_known_is_a_score_at_or_above_the_threshold(score: float, known: bool) -> None:
    answer = rank(inference(known=score), 0, LABELS)
    assert answer.known is known
    assert answer.known_score == pytest.approx(score)


def test_rounding_never_makes_a_confidence_larger_than_one() -> None:
    above = np.array([[0, 0, 0, 1.0000001]], np.float32)
    assert above.max() > 1
    answer = rank(inference()._replace(probabilities=above), 0, LABELS)
    assert answer.top[0].confidence == 1


def test_the_evidence_is_the_images_own_and_that_of_its_best_class() -> None:
    first, second = (
        rank(inference(), k, LABELS, AnswerOptions(evidence=True)).evidence for k in (0, 1)
    )
    assert first is not None
    assert second is not None
    assert first.tolist() == [[3]]
    assert second.tolist() == [[4]]  # of equal classes the first


def test_only_what_is_asked_for_is_there() -> None:
    plain = rank(inference(), 0, LABELS)
    assert (plain.evidence, plain.overlay, plain.tensors) == (None, None, {})
    tensors = rank(
        inference(), 1, LABELS, AnswerOptions(tensors=("known_score", "evidence"))
    ).tensors
    assert {name: values.tolist() for name, values in tensors.items()} == {
        "known_score": 0.0,
        "evidence": [[[4, 5, 6, 7]]],
    }


@pytest.mark.parametrize(
    ("known", "fine", "coarse", "named"),
    [
        (0.5, 0.4, 0.9, NamedClass(Level.FINE, "date")),
        (0.5, 0.41, 0.6, NamedClass(Level.COARSE, "red")),
        (0.5, 0.41, 0.61, NamedClass(Level.UNKNOWN, None)),
        (0.49, 0.0, 0.0, NamedClass(Level.UNKNOWN, None)),
    ],
)
def test_an_unsure_answer_backs_off_to_the_coarse_class_and_then_to_unknown(
    known: float, fine: float, coarse: float, named: NamedClass
) -> None:
    exact = inference(known)._replace(
        probabilities=np.array([[0.1, 0.2, 0.3, 0.4]]), coarse=np.array([[0.6, 0.4]])
    )
    labels = ModelLabels(MODEL, LABELS.classes, LABELS.coarse, 0.5, fine, coarse)
    assert rank(exact, 0, labels).named == named


def test_without_a_hierarchy_an_unsure_answer_is_unknown() -> None:
    flat = ModelLabels(MODEL, LABELS.classes, None, 0.5, fine_threshold=0.9)
    named = rank(inference()._replace(coarse=None), 0, flat).named
    assert named == NamedClass(Level.UNKNOWN, None)
