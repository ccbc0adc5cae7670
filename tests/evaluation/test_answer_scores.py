import pytest

from greengrocer.evaluation.evaluate import score_answers
from greengrocer.ranking import Answer, Level, ModelId, NamedClass, Ranked


def answer(level: Level, name: str | None, known: bool = True) -> Answer:
    return Answer(
        model=ModelId("fruit", "1"),
        top=(Ranked("gala", 0.9),),
        coarse=Ranked("apple", 0.9),
        known=known,
        known_score=0.9,
        named=NamedClass(level, name),
    )


def test_what_is_named_is_judged_at_its_own_level_and_unknown_abstains() -> None:
    scores = score_answers(
        [
            answer(Level.FINE, "gala"),
            answer(Level.FINE, "gala"),
            answer(Level.COARSE, "apple"),
            answer(Level.UNKNOWN, None, known=False),
            answer(Level.UNKNOWN, None),
        ],
        fine=["gala", "anjou", "smith", "gala", "gala"],
        coarse=["apple", "pear", "apple", "apple", "apple"],
    )
    assert scores.answer_precision == pytest.approx(2 / 3)
    assert scores.answer_coverage == {"fine": 0.4, "coarse": 0.2, "unknown": 0.4}
    assert scores.known_rate == 0.8


def test_a_model_that_names_nothing_has_no_precision() -> None:
    scores = score_answers([answer(Level.UNKNOWN, None)], fine=["gala"], coarse=None)
    assert scores.answer_precision is None
    assert scores.answer_coverage["unknown"] == 1
