"""Suggest the nearest known name for an unknown one."""

import difflib
from collections.abc import Iterable

CUTOFF = 0.6  # the least similarity, difflib's ratio


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a message about the unknown ``name``: ``: did you mean ...?``, or nothing.

    Case, and - or _ between words, make no difference.
    """
    normal = {_normal(each): each for each in known}
    found = difflib.get_close_matches(_normal(name), normal, 1, CUTOFF)
    return f": did you mean {normal[found[0]]}?" if found else ""


def _normal(name: str) -> str:
    """``name`` without the prefix and dashes that make all names similar."""
    return name.lower().replace("-", "_").strip("_").removeprefix("greengrocer_")
