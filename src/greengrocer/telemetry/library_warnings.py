"""Warnings of libraries: one line for each place in their code, however often it warns.

A stranger's image can have a library warn as often as it likes, in words of its own: Python
would print each with a path and a line of source, and keep every text that it has seen for good.
"""

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

MAX_TEXT = 300  # characters of a warning that are told
# Those are for whoever writes the library's callers, and Python hides them by default.
_FOR_DEVELOPERS = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)

Tell = Callable[[str], None]


def report_warnings(tell: Tell) -> None:
    """From now on ``tell`` gets each place's first warning, in one line.

    What is asked for by Python's own means (-W, PYTHONWARNINGS) is left as it is.
    """
    told: set[tuple[str, int]] = set()

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,  # noqa: ARG001  # as Python calls it
        line: str | None = None,  # noqa: ARG001
    ) -> None:
        if (filename, lineno) not in told:
            told.add((filename, lineno))
            tell(f"{_place(filename)}: {category.__name__}: {_one_line(str(message))}")

    warnings.showwarning = show
    if not sys.warnoptions:
        warnings.resetwarnings()
        warnings.simplefilter("always")  # "default" would keep every text
        for category in _FOR_DEVELOPERS:
            warnings.simplefilter("ignore", category)


def _place(filename: str) -> str:
    """The library's name, without where it is installed."""
    parts = Path(filename).parts
    for home in ("site-packages", "dist-packages"):
        if home in parts[:-1]:
            return parts[parts.index(home) + 1].removesuffix(".py")
    return Path(filename).stem


def _one_line(text: str) -> str:
    shown = " ".join(text.split())
    printable = "".join(each if each.isprintable() else "?" for each in shown)
    return printable if len(printable) <= MAX_TEXT else f"{printable[:MAX_TEXT]}..."
