"""How ``greengrocer predict`` reports an image: as a sentence, a JSON object or a row of CSV."""

import csv
import io
import os
from collections.abc import Callable
from pathlib import Path

from greengrocer.answer_json import answer_json, problem_json
from greengrocer.cli.output import say, say_json, warn
from greengrocer.errors import Refusal
from greengrocer.ranking import Answer
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
    best = outcome.top[0]
    sentence = f"{best.name} ({best.confidence:.0%})"
    unknown = "" if outcome.known is not False else "none of the known classes; nearest is "
    say(escaped(f"{path_text(path)}: {unknown}{sentence}"))


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
    """A row of CSV."""
    row = io.StringIO()
    csv.writer(row, lineterminator="").writerow(cells)
    say(row.getvalue())
