"""How ``greengrocer predict`` reports an image: as a sentence, a JSON object or a row of CSV."""

import csv
import io
import os
from collections.abc import Callable
from pathlib import Path

from greengrocer.answer_json import answer_json, problem_json
from greengrocer.cli.output import say, say_json, warn
from greengrocer.errors import Refusal
from greengrocer.ranking import Answer, Level, Ranked
from greengrocer.safe_text import escaped

Tell = Callable[[Path, Answer | Refusal], None]
COLUMNS = (
    *("file", "prediction", "confidence", "coarse", "coarse_confidence", "level", "name"),
    *("known", "known_score", "error"),
)


def tell_in_words(path: Path, outcome: Answer | Refusal) -> None:
    """A sentence; a refusal goes to standard error."""
    if isinstance(outcome, Refusal):
        warn(f"greengrocer: {path_text(path)}: {outcome}")
        return
    say(escaped(f"{path_text(path)}: {_sentence(outcome)}"))


def _sentence(answer: Answer) -> str:
    """The class that the model is confident of, and the likeliest one where it is another."""
    best = _with_confidence(answer.top[0])
    if answer.known is False:
        return f"none of the known classes; nearest is {best}"
    if answer.named.level is Level.FINE:
        return best
    sure = answer.coarse if answer.named.level is Level.COARSE else None
    return f"{_with_confidence(sure) if sure else 'unknown'}; uncertain: {best}"


def _with_confidence(ranked: Ranked) -> str:
    return f"{ranked.name} ({ranked.confidence:.0%})"


def tell_in_json(path: Path, outcome: Answer | Refusal) -> None:
    """What ``/predict`` would answer, with the file in place of a request id."""
    body = problem_json(outcome) if isinstance(outcome, Refusal) else answer_json(outcome)
    say_json({"file": path_text(path), **body})


def tell_in_csv(path: Path, outcome: Answer | Refusal) -> None:
    """A row below the ``COLUMNS``."""
    if isinstance(outcome, Refusal):
        say_row(path_text(path), *[""] * (len(COLUMNS) - 2), str(outcome))
        return
    coarse = outcome.coarse or ("", "")
    known = ("", "")
    if outcome.known is not None:
        known = (str(outcome.known).lower(), str(outcome.known_score))
    say_row(path_text(path), *outcome.top[0], *coarse, *outcome.named, *known, "")


def path_text(path: Path) -> str:
    r"""``path`` as text: bytes that are not UTF-8 become escapes such as ``\xe9``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def say_row(*cells: object) -> None:
    """A row of CSV; a cell with a line break is quoted."""
    row, end = io.StringIO(), "\r\n"  # what is in the end of a line is quoted in a cell
    csv.writer(row, lineterminator=end).writerow(cells)
    say(row.getvalue().removesuffix(end))
