"""What the images show: copies, wrong labels, flaws, groups, and what is to be held out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from greengrocer.datachecks.duplicates import find_duplicates
from greengrocer.datachecks.findings import Findings
from greengrocer.datachecks.groups import Groups, find_groups
from greengrocer.datachecks.hold_out import HoldOut, hold_out
from greengrocer.datachecks.labels import suspect_labels
from greengrocer.datachecks.quality import find_flaws, find_one_scene
from greengrocer.datachecks.thumbnails import read_thumbnails
from greengrocer.datasets.dataset import LabelledImage
from greengrocer.features.extract import extract
from greengrocer.serving.resources import usable_processors


@dataclass(frozen=True)
class Contents:
    """``groups`` and ``hold_out`` are about all images, in their order."""

    findings: Findings
    groups: Groups
    hold_out: HoldOut


def look_at(
    images: Sequence[LabelledImage],
    splits: Sequence[str | None],
    classes: Sequence[str],
    threads: int | None = None,
) -> Contents:
    """Look at ``images``, which have their digests, with progress bars.

    ``splits`` names the split of each: where there is a "val", it is what is held out. Raises
    DatasetUnusable for an image that cannot be read.
    """
    threads = threads or usable_processors()
    features = extract(images, threads=threads)
    thumbnails = read_thumbnails(images, threads)
    duplicates = find_duplicates(images, features, thumbnails, splits, threads)
    groups = find_groups(images, features, thumbnails, duplicates)
    findings = Findings(
        duplicates,
        suspect_labels(images, features, groups, classes),
        find_flaws(images, features, thumbnails),
        find_one_scene(images, groups, classes),
    )
    return Contents(findings, groups, _hold_out(images, splits, groups))


def _hold_out(
    images: Sequence[LabelledImage], splits: Sequence[str | None], groups: Groups
) -> HoldOut:
    """The split "val", or a choice among all images but those of the split "test"."""
    if "val" in splits:
        return HoldOut(tuple(split == "val" for split in splits), ())
    free = np.flatnonzero([split != "test" for split in splits]).tolist()
    part = replace(
        groups,
        of=tuple(groups.of[index] for index in free),
        copies=tuple(groups.copies[index] for index in free),
    )
    chosen = hold_out([images[index] for index in free], part)
    held = {index for index, out in zip(free, chosen.held_out, strict=True) if out}
    return HoldOut(tuple(index in held for index in range(len(images))), chosen.one_sided)
