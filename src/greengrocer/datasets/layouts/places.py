"""Photos by place and class: whether the outermost folders are places, as ``shop1/lime/1.jpg``.

Where most sub-folders have a name that recurs in another of the outermost folders, one of the two
levels is the classes and the other is places or days. The sub-folders are the classes, unless they
alone are named as places and days are: ``apple/shop1``, ``apple/2026-05-04``, ``pear/shop1``.
Where the names differ (``fruit/apple``, ``vegetable/carrot``) the outermost are groups of classes.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, auto

from greengrocer.datasets.layouts.names import split_of
from greengrocer.datasets.layouts.tree import Folder

_PLACES_AND_DAYS = re.compile(
    r"[\d\s._:-]+"
    r"|(shop|store|market|supermarket|place|site|location|room|day|date|week|session|batch|series"
    r"|camera|cam|visit)s?(?![a-z]).*"
    r"|(mon|tue|tues|wed|wednes|thu|thurs|fri|sat|satur|sun)(day)?"
    r"|january|february|march|april|may|june|july|august|september|october|november|december",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Root:
    """A folder whose sub-folders are classes or groups of them, its split and its place."""

    folder: Folder
    split: str | None = None
    place: str | None = None


class Order(Enum):
    """What folders in folders are, from the outermost in."""

    GROUPS = auto()  # groups of classes, then classes
    PLACES = auto()  # places, then classes
    CLASSES = auto()  # classes, then places or days


def is_group(folder: Folder) -> bool:
    """Whether a folder holds folders of images, and more images there than directly."""
    return bool(folder.filled()) and len(folder.files) < folder.count - len(folder.files)


def holds_splits(folder: Folder) -> bool:
    """Whether the folder of a class has its images in ``train``, ``val`` and the like."""
    inside = folder.filled()
    return bool(inside) and all(split_of(each.name) and not each.filled() for each in inside)


def find_order(roots: Iterable[Root]) -> Order:
    """How the folders below ``roots`` are to be read, by the rule above."""
    tops = [each for root in roots for each in root.folder.filled()]
    places = [each for each in tops if is_group(each) and not holds_splits(each)]
    names = {each.name for each in places}
    if len(names) < 2 or len(names) <= len({each.name for each in tops} - names):
        return Order.GROUPS
    within: dict[str, set[str]] = defaultdict(set)  # of a sub-folder's name: the outermost ones
    for top in places:
        for root in _split(Root(top)):
            for each in root.folder.filled():
                within[each.name].add(top.name)
    if len(within) == 1:
        return Order.CLASSES  # as in apple/images, pear/images
    recurring = sum(len(found) for found in within.values() if len(found) > 1)
    if 2 * recurring <= sum(map(len, within.values())):
        return Order.GROUPS
    named = [all(map(_PLACES_AND_DAYS.fullmatch, some)) for some in (names, within)]
    return Order.CLASSES if named == [False, True] else Order.PLACES


def place_roots(roots: Iterable[Root]) -> list[Root]:
    """The places below ``roots``; of a place with folders of splits, each of those."""
    return [
        inside
        for root in roots
        for each in root.folder.filled()
        if is_group(each) and not holds_splits(each)
        for inside in _split(Root(each, root.split, each.name))
    ]


def _split(root: Root) -> Iterator[Root]:
    """The folders of splits in ``root``, where it holds nothing else; else ``root``."""
    inside = root.folder.filled()
    if root.split is None and inside and all(split_of(e.name) and e.filled() for e in inside):
        yield from (Root(each, split_of(each.name), root.place) for each in inside)
    else:
        yield root
