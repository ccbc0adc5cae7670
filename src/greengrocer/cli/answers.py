"""How ``greengrocer predict`` tells of an image: a sentence, a JSON object or a row of CSV."""

import csv
import io
from collections.abc import Callable
from pathlib import Path

from greengrocer.cli.output import say, say_json, warn
from greengrocer.errors import Refusal
from greengrocer.ranking import Answer
from greengrocer.safe_text import escaped
from greengrocer.web.problems import problem
from greengrocer.web.schemas import prediction_body

Tell = Callable[[Path, Answer | Refusal], None]
COLUMNS = (
    *("file", "prediction", "confidence", "coarse", "coarse_confidence", "level", "name"),
    *("known", "known_score", "error"),
)


def tell_in_words(path: Path, outcome: Answer | Refusal) -> None:
    """A sentence; why there is no answer goes to standard error."""
    if isinstance(outcome, Refusal):
        warn(f"greengrocer: {path}: {outcome}")
        return
    best = outcome.top[0]
    sentence = f"{best.name} ({best.confidence:.0%})"
    unknown = "" if outcome.known else "nothing that the model knows; nearest is "
    say(escaped(f"{path}: {unknown}{sentence}"))


def tell_in_json(path: Path, outcome: Answer | Refusal) -> None:
    """What ``/predict`` would answer, and the file."""
    if isinstance(outcome, Refusal):
        body = problem(outcome, str(path))
    else:
        body = prediction_body(outcome, str(path))
    say_json({"file": str(path), **body})


def tell_in_csv(path: Path, outcome: Answer | Refusal) -> None:
    """A row below the ``COLUMNS``."""
    if isinstance(outcome, Refusal):
        say_row(str(path), *[""] * (len(COLUMNS) - 2), str(outcome))
        return
    coarse = outcome.coarse or ("", "")
    known = str(outcome.known).lower()
    say_row(str(path), *outcome.top[0], *coarse, *outcome.named, known, outcome.known_score, "")


def say_row(*cells: object) -> None:
    """A row of CSV."""
    row = io.StringIO()
    csv.writer(row, lineterminator="").writerow(cells)
    say(row.getvalue())
