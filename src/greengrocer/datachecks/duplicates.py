"""Files that hold one photo twice: exact copies, copies in another encoding, near-duplicates.

A near-duplicate is an altered copy, or a second shot of the same things from nearly the same spot:
a split that has both on different sides flatters just as much. Features and perceptual hashes
propose pairs, and ``registration`` decides, for two photos of a kind look much the same to both.
How alike a pair must be is calibrated on the folder: images of different classes that resemble each
other most are no copies, and show what chance reaches.
"""

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from greengrocer.datachecks.disjoint_sets import DisjointSets
from greengrocer.datachecks.findings import Copy, Crossing, Duplicate
from greengrocer.datachecks.hashes import close_pairs, perceptual_hashes
from greengrocer.datachecks.neighbours import Neighbours, find_neighbours
from greengrocer.datachecks.registration import Registered, register
from greengrocer.datachecks.thumbnails import Numbers, Thumbnails
from greengrocer.datasets.dataset import LabelledImage
from greengrocer.engines.engine import Floats
from greengrocer.safe_text import one_line

HASH_BITS = 10  # of 64 that may differ in a proposed pair
LEAST_COSINE = 0.5  # of centred features; altered copies have 0.7 and more
MOST_PAIRS = 4  # proposed pairs for each image, on average
CALIBRATION = 300  # pairs of different classes
CHANCE = 0.9  # quantile of their likeness that is taken for chance; some may be copies in truth
LEAST_LIKENESS = 0.75
SAME_LIKENESS, SAME_COLOUR = 0.97, 6.0  # of a copy in another encoding; colour in levels of 255
CHROMA = 0.05  # by which the shares of red, green and blue may differ: a hue is no brightness
CHUNK = 64  # pairs that a thread takes at a time

Pairs = NDArray[np.int64]


def find_duplicates(
    images: Sequence[LabelledImage],
    features: Floats,
    thumbnails: Thumbnails,
    splits: Sequence[str | None] | None = None,
    threads: int = 2,
) -> tuple[Duplicate, ...]:
    """All duplicates, the worst first: across splits, across classes, within a class.

    ``features`` is float32 [N, D]; ``splits`` names the split of each image, where there are some.
    """
    links = _exact(images)
    # One image of each digest stands for all of them, or they would fill its neighbours.
    copies = {max(pair) for pair, _ in links}
    distinct = np.array([index for index in range(len(images)) if index not in copies], np.int64)
    if len(distinct) > 1:
        links += _near(images, features, thumbnails, distinct, threads)
    found = _told(images, thumbnails, splits, links)
    order = list(Crossing)
    found.sort(key=lambda each: (order.index(each.crossing), -each.likeness, str(each.path)))
    return tuple(found)


@dataclass(frozen=True)
class _Kind:
    copy: Copy
    likeness: float
    flipped: bool = False


Link = tuple[tuple[int, int], _Kind]


def _exact(images: Sequence[LabelledImage]) -> list[Link]:
    first: dict[str, int] = {}
    found: list[Link] = []
    for index, image in enumerate(images):
        if image.digest is not None:
            original = first.setdefault(image.digest, index)
            if original != index:
                found.append(((original, index), _Kind(Copy.SAME_FILE, 1.0)))
    return found


def _near(
    images: Sequence[LabelledImage],
    features: Floats,
    thumbnails: Thumbnails,
    distinct: Pairs,
    threads: int,
) -> list[Link]:
    neighbours = find_neighbours([images[index] for index in distinct], features[distinct])
    grey, colour = thumbnails.grey[distinct], thumbnails.colour[distinct].astype(np.float32)
    pairs = _proposed(neighbours, perceptual_hashes(grey))
    pairs = pairs[_chroma_apart(colour, pairs) <= CHROMA]  # before what takes milliseconds a pair
    least = likeness_by_chance(neighbours, grey, threads)
    registered = _register(grey, pairs, threads)
    accepted = registered.likeness >= least
    apart = np.abs(colour[pairs[:, 0]] - colour[pairs[:, 1]]).mean(axis=(1, 2, 3))
    same = registered.unmoved & (registered.likeness >= SAME_LIKENESS) & (apart <= SAME_COLOUR)
    return [
        (
            (int(distinct[pairs[at, 0]]), int(distinct[pairs[at, 1]])),
            _Kind(
                Copy.SAME_PIXELS if same[at] else Copy.NEAR,
                min(float(registered.likeness[at]), 1.0),
                bool(registered.flipped[at]),
            ),
        )
        for at in np.flatnonzero(accepted)
    ]


def _proposed(neighbours: Neighbours, hashes: Numbers) -> Pairs:
    """The pairs [P, 2] that are worth a look, smaller index first."""
    count, keep = neighbours.index.shape
    one = np.repeat(np.arange(count), keep)
    pairs = np.stack([one, neighbours.index.ravel()], axis=1)
    cosine = neighbours.cosine.ravel()
    order = np.argsort(-cosine, kind="stable")
    order = order[cosine[order] >= LEAST_COSINE][: 2 * MOST_PAIRS * count]
    both = np.concatenate([np.sort(pairs[order], axis=1), close_pairs(hashes, HASH_BITS)])
    return np.unique(both, axis=0)


def likeness_by_chance(neighbours: Neighbours, grey: NDArray[np.uint8], threads: int) -> float:
    """How alike two images must be to be one photo in this folder.

    Halfway between the same pixels and what images of different classes reach by chance.
    """
    rows = np.flatnonzero(neighbours.stranger >= 0)
    rows = rows[:: max(1, len(rows) // CALIBRATION)]
    if not len(rows):
        return LEAST_LIKENESS
    pairs = np.stack([rows, neighbours.stranger[rows]], axis=1)
    chance = float(np.quantile(_register(grey, pairs, threads).likeness, CHANCE))
    return max(LEAST_LIKENESS, (1 + chance) / 2)


def _register(grey: NDArray[np.uint8], pairs: Pairs, threads: int) -> Registered:
    parts = [pairs[at : at + CHUNK] for at in range(0, len(pairs), CHUNK)]
    with ThreadPoolExecutor(threads, thread_name_prefix="register") as pool:
        try:
            done = pool.map(lambda part: register(grey[part[:, 0]], grey[part[:, 1]]), parts)
            found = list(tqdm(done, "comparing", len(parts), unit="block", disable=None))
        finally:
            pool.shutdown(cancel_futures=True)
    if not found:
        return register(grey[:0], grey[:0])
    return Registered(
        np.concatenate([each.likeness for each in found]),
        np.concatenate([each.unmoved for each in found]),
        np.concatenate([each.flipped for each in found]),
    )


def _chroma_apart(colour: Numbers, pairs: Pairs) -> Numbers:
    means = colour.mean(axis=(1, 2)) + 1
    shares = means / means.sum(axis=1, keepdims=True)
    return np.asarray(np.abs(shares[pairs[:, 0]] - shares[pairs[:, 1]]).max(axis=1), np.float32)


def _told(
    images: Sequence[LabelledImage],
    thumbnails: Thumbnails,
    splits: Sequence[str | None] | None,
    links: Sequence[Link],
) -> list[Duplicate]:
    """One finding for each file of one photo but the one that stays; that decides its crossing."""
    split_of = list(splits) if splits is not None else [None] * len(images)
    labels = [image.label for image in images]
    beside: dict[int, list[tuple[int, _Kind]]] = defaultdict(list)
    joined = DisjointSets(len(images))
    # The strongest links first: a copy is told of its original, not of another shot of the scene.
    for (one, other), kind in sorted(links, key=lambda link: (-link[1].likeness, link[0])):
        if joined.join(one, other):
            beside[one].append((other, kind))
            beside[other].append((one, kind))
    area = thumbnails.sizes.astype(np.int64).prod(axis=1)

    def worth(index: int) -> tuple[bool, int, int]:
        """What is held out stays, else the larger, else the earlier."""
        return split_of[index] not in (None, "train"), int(area[index]), -index

    seen: set[int] = set()
    found = []
    for start in sorted(beside, key=worth, reverse=True):
        sides = _Sides(labels, split_of, start)
        waiting = [start] if start not in seen else []
        seen.update(waiting)
        while waiting:
            original = waiting.pop(0)
            for other, kind in beside[original]:
                if other not in seen:
                    seen.add(other)
                    waiting.append(other)
                    found.append(_duplicate(images, sides, original, other, kind))
    return found


@dataclass(frozen=True)
class _Sides:
    """What lies between the files of one photo and the one of them that stays."""

    labels: Sequence[int]
    splits: Sequence[str | None]
    kept: int

    def crossing(self, index: int) -> Crossing:
        """What lies between the file ``index`` and the one that stays, the worst first."""
        if self.splits[index] != self.splits[self.kept]:
            return Crossing.SPLITS
        if self.labels[index] != self.labels[self.kept]:
            return Crossing.CLASSES
        return Crossing.NOTHING


def _duplicate(
    images: Sequence[LabelledImage], sides: _Sides, original: int, other: int, kind: _Kind
) -> Duplicate:
    one, two, kept = images[original], images[other], images[sides.kept]
    crossing = sides.crossing(other)
    reason = _reason(one, kind, crossing, None if original == sides.kept else kept)
    return Duplicate(two.path, one.path, kind.copy, crossing, kind.likeness, reason)


def _reason(
    original: LabelledImage, kind: _Kind, crossing: Crossing, kept: LabelledImage | None
) -> str:
    """``kept`` is the file that stays, where it is not the original."""
    name = _named(original)
    what = {
        Copy.SAME_FILE: f"the same file as {name}, byte for byte",
        Copy.SAME_PIXELS: f"the same photo as {name}, saved again or in another size",
        Copy.NEAR: f"nearly the same as {name}: "
        + ("mirrored" if kind.flipped else "an altered copy, or a second shot from the same spot"),
    }[kind.copy]
    these = "they" if kept is None else f"it and {_named(kept)}, the same again,"
    then = {
        Crossing.SPLITS: f"; {these} are in different splits, so the model is tested on what it "
        "learnt",
        Crossing.CLASSES: f"; {these} have different labels, and one of them is wrong",
        Crossing.NOTHING: "",
    }[crossing]
    return what + then


def _named(image: LabelledImage) -> str:
    return one_line(f"{image.path.parent.name}/{image.path.name}", 120)
