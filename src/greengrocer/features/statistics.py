"""What a quick head is made of: enough to add images, and to take them away, exactly.

Two parts. ``kept`` images have a row each: their features in float16, from which all is computed.
``rest`` is the sums of images that have none: of those beyond ``MOST_KEPT``, and of what trained
the network of a bundle that is taught on top.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from greengrocer.bundles.trained_on import LENGTH
from greengrocer.figures.score import ClassIds

MOST_KEPT = 16_000  # images; a row has 2.6 kB
START = LENGTH  # bytes of an image's SHA-256

Halves = npt.NDArray[np.float16]
Doubles = npt.NDArray[np.float64]
Bytes = npt.NDArray[np.uint8]
Shots = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Moments:
    """Of images by class: ``counts`` int64 [K], ``sums`` [K, D], ``second`` [D, D] (x times x)."""

    counts: npt.NDArray[np.int64]
    sums: Doubles
    second: Doubles


@dataclass(frozen=True)
class Statistics:
    """Of N kept images, in the order of their digests, and of the rest.

    ``digests`` uint8 [N, 8] are the starts of their SHA-256, ``labels`` int64 [N] class ids,
    ``features`` float16 [N, D], ``shots`` those of ``shots_of``; ``rest`` is None where every image
    is kept.
    """

    classes: tuple[str, ...]
    digests: Bytes
    labels: ClassIds
    features: Halves
    shots: Shots
    rest: Moments | None = None

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """The images of each class, int64 [K]."""
        kept = np.bincount(self.labels, minlength=len(self.classes)).astype(np.int64)
        return kept if self.rest is None else kept + self.rest.counts

    def moments(self, chosen: npt.NDArray[np.bool_] | None = None) -> Moments:
        """The sums over the rest and the kept images, or those ``chosen`` [N] of them."""
        rows = slice(None) if chosen is None else chosen
        found = moments_of(self.features[rows], self.labels[rows], len(self.classes))
        if self.rest is None:
            return found
        return Moments(
            found.counts + self.rest.counts,
            found.sums + self.rest.sums,
            found.second + self.rest.second,
        )

    def has(self, digests: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Whether the image of each SHA-256, in hexadecimal, is among those kept: [M]."""
        known = {bytes(each) for each in self.digests}
        return np.array([start_of(each).tobytes() in known for each in digests], bool)

    def add(
        self, name: str, digests: Sequence[str], features: npt.ArrayLike, shots: Shots | None = None
    ) -> "Statistics":
        """With images of the class ``name``, which may be a new one.

        A new class stands where the order of the names wants it, as a folder's would; where they
        are in no such order, last. Images beyond ``MOST_KEPT`` go into the rest, so that may not be
        of a trained network.
        """
        found = self if name in self.classes else self._with_class(name)
        label = found.classes.index(name)
        rows = [start_of(each) for each in digests]
        shots = unnumbered(len(rows)) if shots is None else shots
        return _bounded(
            replace(
                found,
                digests=np.concatenate([found.digests, np.reshape(rows, (-1, START))]),
                labels=np.concatenate([found.labels, np.full(len(rows), label, np.int64)]),
                features=np.concatenate([found.features, np.asarray(features, np.float16)]),
                shots=np.concatenate([found.shots, shots]),
            )
        )

    def without_images(self, digests: Sequence[str]) -> "Statistics":
        """Without the kept images of these SHA-256; classes stay, even empty ones."""
        gone = {start_of(each).tobytes() for each in digests}
        return self._only(np.array([bytes(each) not in gone for each in self.digests], bool))

    def without_class(self, name: str) -> "Statistics":
        """Without the class ``name``, none of whose images may be in the rest."""
        label = self.classes.index(name)
        kept = self._only(self.labels != label)
        rest = self.rest
        if rest is not None:
            assert not rest.counts[label]
            rest = replace(
                rest, counts=np.delete(rest.counts, label), sums=np.delete(rest.sums, label, axis=0)
            )
        classes = tuple(each for each in self.classes if each != name)
        labels = kept.labels - (kept.labels > label)
        return replace(kept, classes=classes, labels=labels, rest=rest)

    def _only(self, rows: npt.NDArray[np.bool_]) -> "Statistics":
        return replace(
            self,
            digests=self.digests[rows],
            labels=self.labels[rows],
            features=self.features[rows],
            shots=self.shots[rows],
        )

    def _with_class(self, name: str) -> "Statistics":
        in_order = list(self.classes) == sorted(self.classes) and self.rest is None
        classes = [*self.classes, name]
        place = sorted(classes).index(name) if in_order else len(self.classes)
        rest = self.rest
        if rest is not None:
            rest = replace(
                rest,
                counts=np.insert(rest.counts, place, 0),
                sums=np.insert(rest.sums, place, 0.0, axis=0),
            )
        return replace(
            self,
            classes=(*self.classes[:place], name, *self.classes[place:]),
            labels=self.labels + (self.labels >= place),
            rest=rest,
        )


def of_trained(classes: Sequence[str], labels: ClassIds, features: npt.ArrayLike) -> Statistics:
    """The statistics of N images that trained a network: sums alone, for classes on top of it.

    ``labels`` are class ids [N], ``features`` [N, D] what the network's backbone makes of them.
    """
    halves = np.asarray(features, np.float16)
    nothing = np.zeros(0, np.int64)
    return Statistics(
        tuple(classes),
        np.zeros((0, START), np.uint8),
        nothing,
        halves[:0],
        unnumbered(0),
        moments_of(halves, labels, len(classes)),
    )


def unnumbered(count: int) -> Shots:
    """``shots`` of ``count`` images whose names and places are not known."""
    return np.full((count, 3), -1, np.int64)


def gather(
    classes: Sequence[str],
    digests: Sequence[str],
    labels: ClassIds,
    features: npt.ArrayLike,
    shots: Shots | None = None,
) -> Statistics:
    """The statistics of N images: SHA-256 in hexadecimal, class ids [N], and features [N, D].

    ``shots`` are those of their files, where they have any. An image that comes twice in a class
    counts once.
    """
    shots = unnumbered(len(labels)) if shots is None else shots
    rows = np.reshape([start_of(each) for each in digests], (-1, START)).astype(np.uint8)
    halves = np.asarray(features, np.float16)
    return _bounded(Statistics(tuple(classes), rows, labels.astype(np.int64), halves, shots))


def moments_of(features: Halves, labels: ClassIds, classes: int) -> Moments:
    """The sums of images with ``features`` [N, D] and ``labels`` [N], in float64."""
    doubles = features.astype(np.float64)
    sums = np.zeros((classes, doubles.shape[1]))
    np.add.at(sums, labels, doubles)
    counts = np.bincount(labels, minlength=classes).astype(np.int64)
    return Moments(counts, sums, doubles.T @ doubles)


def moments_between(counts: npt.NDArray[np.int64], sums: Doubles) -> Doubles:
    """The part of the second moment that the means of classes make, float64 [D, D].

    ``counts`` [K] and ``sums`` [K, D] are those of their images.
    """
    roots = sums / np.sqrt(np.maximum(counts, 1))[:, None]
    found: Doubles = roots.T @ roots
    return found


def start_of(digest: str) -> Bytes:
    """The first 8 bytes of a SHA-256 in hexadecimal: uint8 [8]."""
    return np.frombuffer(bytes.fromhex(digest[: 2 * START]), np.uint8)


def _bounded(found: Statistics) -> Statistics:
    """In order; the rows beyond ``MOST_KEPT`` go into the rest."""
    whole = _in_order(found)
    if len(whole.labels) <= MOST_KEPT:
        return whole
    first = np.arange(len(whole.labels)) < MOST_KEPT
    beyond = replace(whole._only(~first), rest=whole.rest)  # noqa: SLF001
    return replace(whole._only(first), rest=beyond.moments())  # noqa: SLF001


def _in_order(found: Statistics) -> Statistics:
    """By digest and label, each image once: the same images are then the same statistics."""
    keys = list(zip(map(bytes, found.digests), found.labels.tolist(), strict=True))
    # Of the names that a file has in a class, the smallest counts, not the one that came first.
    order = sorted(range(len(keys)), key=lambda row: (keys[row], found.shots[row].tolist()))
    once = [
        row for place, row in enumerate(order) if not place or keys[row] != keys[order[place - 1]]
    ]
    rows = np.array(once, np.int64)
    return replace(
        found,
        digests=found.digests[rows],
        labels=found.labels[rows],
        features=found.features[rows],
        shots=found.shots[rows],
    )
