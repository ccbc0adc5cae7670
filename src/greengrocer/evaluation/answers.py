"""How often the model names something, at which level, and how often it is right then."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from greengrocer.ranking import Answer, Level


@dataclass(frozen=True)
class AnswerScores:
    """Fractions of the images; the precision is of those named, None where none was.

    ``known_rate`` is None for a model that gives no known score.
    """

    known_rate: float | None
    answer_precision: float | None
    answer_coverage: dict[str, float]


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


def _share(known: Sequence[bool]) -> float | None:
    return sum(known) / len(known) if known else None
