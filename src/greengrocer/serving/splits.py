"""Split a model's requests between its versions, so that the same client always gets the same."""

import hashlib
from collections.abc import Mapping, Sequence

from greengrocer.errors import ReloadRefused, UsageError
from greengrocer.model_names import name_of

ALL = 100  # per cent
Parts = tuple[tuple[str, int], ...]  # keys of models, each with its part in per cent


def choose(parts: Sequence[tuple[str, int]], sticky: str) -> str:
    """The key in whose part ``sticky`` falls: a pure function of both.

    A part that only grows, at the cost of the ones before it, keeps those who had it.
    """
    digest = hashlib.sha256(sticky.encode(errors="surrogateescape")).digest()
    point = int.from_bytes(digest[:8]) * ALL // 2**64
    end = ALL
    for key, part in reversed(parts):
        end -= part
        if point >= end:
            return key
    return parts[0][0]


def check_part(part: int) -> None:
    """Raise UsageError where ``part`` is none, in per cent."""
    if not 0 <= part <= ALL:
        raise UsageError(f"{part}% is not a part: 0% to {ALL}%")


def checked_parts(parts: Mapping[str, int], loaded: Sequence[str]) -> Parts:
    """The parts of one model's requests; raises ReloadRefused where they make no sense."""
    names = {name_of(key) for key in parts}
    for key in parts:
        if key not in loaded:
            raise ReloadRefused(f"there is no model {key}: loaded are {', '.join(loaded)}")
    if len(names) != 1:
        given = f"of {' and '.join(sorted(names))}" if names else "none at all"
        raise ReloadRefused(
            f"the parts must be of versions of one model, as shop=95 shop@next=5, not {given}"
        )
    if sum(parts.values()) != ALL:
        raise ReloadRefused(f"the parts are {sum(parts.values())} in all: they must be {ALL}")
    (name,) = names
    if name not in parts:
        raise ReloadRefused(f"the parts must name {name} itself, as {name}=0")
    # the model itself comes first: then a part that grows keeps those who had it
    return tuple(sorted(parts.items(), key=lambda part: part[0] != name))
