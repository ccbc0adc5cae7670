"""Report the warnings of libraries: one line for each place in their code, however often it warns.

An uploaded image can make a library warn any number of times, with text from the image. Python
would print each warning with a path and a line of source, and remember every text forever.
"""

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from greengrocer.safe_text import one_line

MAX_TEXT = 300  # characters of a warning
# For developers: Python hides them by default.
_FOR_DEVELOPERS = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)


def report_warnings(report: Callable[[str], None]) -> None:
    """From now on, call ``report`` with the first warning of each place, as one line.

    Filters that the user set with -W or PYTHONWARNINGS stay.
    """
    reported: set[tuple[str, int]] = set()

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,  # noqa: ARG001  # as Python calls it
        line: str | None = None,  # noqa: ARG001
    ) -> None:
        if (filename, lineno) not in reported:
            reported.add((filename, lineno))
            text = " ".join(str(message).split())
            report(f"{_place(filename)}: {category.__name__}: {one_line(text, MAX_TEXT)}")

    warnings.showwarning = show
    if not sys.warnoptions:
        warnings.resetwarnings()
        warnings.simplefilter("always")  # "default" would keep every text
        for category in _FOR_DEVELOPERS:
            warnings.simplefilter("ignore", category)


def _place(filename: str) -> str:
    """The library's name, without the path where it is installed."""
    parts = Path(filename).parts
    for home in ("site-packages", "dist-packages"):
        if home in parts[:-1]:
            return parts[parts.index(home) + 1].removesuffix(".py")
    return Path(filename).stem
