"""What the images show: copies, wrong labels, flaws, groups, and what is to be held out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from greengrocer.datachecks.duplicates import find_duplicates
from greengrocer.datachecks.files import OpenedImage
from greengrocer.datachecks.findings import Findings
from greengrocer.datachecks.groups import Groups, find_groups, whole_places
from greengrocer.datachecks.hold_out import HoldOut, hold_out
from greengrocer.datachecks.labels import suspect_labels
from greengrocer.datachecks.places import Obstacle, Places, judge_places
from greengrocer.datachecks.quality import find_flaws, find_one_scene
from greengrocer.datachecks.thumbnails import Thumbnails, blank_thumbnails
from greengrocer.datasets.dataset import LabelledImage
from greengrocer.engines.engine import Floats
from greengrocer.features.backbone import CHANNELS, GEOMETRY
from greengrocer.features.extract import shipped_embedder
from greengrocer.serving.resources import usable_processors

TARGET = GEOMETRY.size  # pixels: images are decoded for the features, and thumbnails need less


@dataclass(frozen=True)
class Contents:
    """``groups`` and ``hold_out`` are about all images, in their order.

    ``places`` are those of the images outside the split "test"; None where there are none.
    """

    findings: Findings
    groups: Groups
    hold_out: HoldOut
    places: Places | None = None


class Looks:
    """What the checks see of images, taken while each is decoded: a thumbnail and features.

    It is the ``look`` of ``open_all``, with ``TARGET`` as its target.
    """

    def __init__(self, count: int) -> None:
        """For ``count`` files, of which some may turn out to be unreadable."""
        self._features = np.zeros((count, CHANNELS), np.float32)
        self._thumbnails = blank_thumbnails(count)
        self._embedder = shipped_embedder()

    def __call__(self, index: int, opened: OpenedImage, data: bytes, image: Image.Image) -> None:
        """Look at the file ``index``."""
        self._thumbnails.add(index, (opened.width, opened.height), data, image)
        self._features[index] = self._embedder.features(opened.digest, image)

    def of(self, rows: Sequence[int]) -> tuple[Floats, Thumbnails]:
        """The features float32 [N, 1280] and the thumbnails of N of the files."""
        return self._features[np.asarray(rows, np.int64)], self._thumbnails.rows(rows)


def compare(
    images: Sequence[LabelledImage],
    features: Floats,
    thumbnails: Thumbnails,
    splits: Sequence[str | None],
    classes: Sequence[str],
    threads: int | None = None,
    places: Sequence[str | None] = (),
) -> Contents:
    """Compare ``images``, which have their digests, with progress bars.

    ``splits`` names the split of each: where there is a "val", it is what is held out. Else whole
    ``places`` are, where the images have some, and there are enough of them.
    """
    threads = threads or usable_processors()
    duplicates = find_duplicates(images, features, thumbnails, splits, threads)
    by_folder = not any(places)  # else the layout says what the places are
    groups = find_groups(images, features, thumbnails, duplicates, by_folder=by_folder)
    free = [index for index, split in enumerate(splits) if split != "test"]
    judged = None
    if any(places[index] for index in free if places):
        judged = judge_places(
            [images[index] for index in free],
            [places[index] for index in free],
            [groups.copies[index] for index in free],
            duplicates,
        )
    if "val" in splits:
        kept, chosen = groups, HoldOut(tuple(split == "val" for split in splits), ())
        judged = judged and replace(judged, obstacle=Obstacle.SPLITS)
    else:
        by_place = None
        if judged is not None and judged.obstacle is None:
            by_place = _hold_out_places(images, free, groups, places)
            judged = judged if by_place else replace(judged, obstacle=Obstacle.UNEVEN)
        kept, chosen = by_place or (groups, _hold_out(images, free, groups))
    findings = Findings(
        duplicates,
        suspect_labels(images, features, groups, classes),
        find_flaws(images, features, thumbnails),
        tuple(
            each
            for each in find_one_scene(images, groups, classes)
            if chosen.places is None or each.label in chosen.one_sided  # else places judge it
        ),
    )
    return Contents(findings, kept, chosen, judged)


def _hold_out(images: Sequence[LabelledImage], free: Sequence[int], groups: Groups) -> HoldOut:
    """A choice among the images ``free``, which are all but those of the split "test"."""
    part = replace(
        groups,
        of=tuple(groups.of[index] for index in free),
        copies=tuple(groups.copies[index] for index in free),
    )
    chosen = hold_out([images[index] for index in free], part)
    held = {index for index, out in zip(free, chosen.held_out, strict=True) if out}
    return HoldOut(tuple(index in held for index in range(len(images))), chosen.one_sided)


def _hold_out_places(
    images: Sequence[LabelledImage],
    free: Sequence[int],
    groups: Groups,
    places: Sequence[str | None],
) -> tuple[Groups, HoldOut] | None:
    """Groups that are whole places, and a hold-out of some; None where they are too uneven.

    Then half of the classes or more would be on one side only, or over half of the images held out.
    """
    whole = whole_places(groups, places)
    chosen = _hold_out(images, free, whole)
    held = {places[index] for index in free if chosen.held_out[index]}
    classes = {images[index].label for index in free}
    one_sided = 2 * len(chosen.one_sided) >= len(classes)
    if one_sided or not 0 < 2 * sum(chosen.held_out) <= len(free):
        return None
    return whole, replace(chosen, places=tuple(sorted(place for place in held if place)))
