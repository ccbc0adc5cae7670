"""Disjoint sets of the numbers below N: which of them were joined, directly or through others."""


class DisjointSets:
    """At first each number is a set of its own."""

    def __init__(self, count: int) -> None:
        self._parent = list(range(count))

    def join(self, one: int, other: int) -> bool:
        """Make one set of both; whether they were two."""
        first, second = sorted((self._root(one), self._root(other)))
        self._parent[second] = first
        return first != second

    def numbers(self) -> tuple[int, ...]:
        """The set of each number; sets are numbered from 0 in the order in which they come."""
        found: dict[int, int] = {}
        return tuple(
            found.setdefault(self._root(index), len(found)) for index in range(len(self._parent))
        )

    def _root(self, index: int) -> int:
        parent = self._parent
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index
