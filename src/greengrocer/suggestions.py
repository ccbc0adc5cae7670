"""Which name a person may have meant by one that is unknown."""

import difflib
from collections.abc import Iterable

MOST = 80  # characters of a name that is shown
ALIKE = 0.6  # of difflib's ratio


def shown(name: str) -> str:
    """``name`` so that a line can hold it, whatever is in it."""
    cut = name if len(name) <= MOST else name[:MOST] + "..."
    return cut if cut.isprintable() and cut else repr(cut)


def meant(name: str, known: Iterable[str]) -> str:
    """The end of a sentence on the unknown ``name``: the nearest of the ``known`` ones, if any.

    Case, and which of - and _ stands between words, make no name unlike another.
    """
    plain = {_plain(each): each for each in known}
    found = difflib.get_close_matches(_plain(name), plain, 1, ALIKE)
    return f": did you mean {plain[found[0]]}?" if found else ""


def _plain(name: str) -> str:
    """Names share a prefix or two dashes, which would make all of them alike."""
    return name.lower().replace("-", "_").strip("_").removeprefix("greengrocer_")
