"""Which photos of a checked folder train, and which are held out."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from greengrocer.datachecks.check import Report
from greengrocer.datachecks.hold_out import TRAIN, VAL
from greengrocer.datachecks.problems import counted
from greengrocer.datasets.dataset import LabelledImage
from greengrocer.datasets.layouts.read import without
from greengrocer.errors import DatasetUnusable
from greengrocer.training.data.splits import OWN_SPLIT, Splits, draw_held_out


def split(report: Report, seed: int, earlier: Mapping[Path, str] | None = None) -> Splits:
    """The images that train and those that are held out: the split "val", or whole groups.

    Of a class whose images are all alike, and so all in one group, a fifth is drawn by ``seed``.
    Where ``earlier`` says of an image "train" or "val", that holds, and a new image of its group
    follows it. Images of the split "test", and classes that have no others, are left out. Raises
    DatasetUnusable where nothing can be held out, or one class is left.
    """
    tested = {each.path for each in report.collection.images if each.split == "test"}
    learned = without(report.collection, tested)
    if len(learned.taxonomy.classes) < 2:
        raise DatasetUnusable(f"{report.source} has one class outside its split test: add another")
    digests = {image.path: image.digest for image in report.images}
    images = [LabelledImage(each.path, each.label, digests[each.path]) for each in learned.images]
    if any(each.split == "val" for each in learned.images):
        origin = OWN_SPLIT
        held = {each.path for each in learned.images if each.split == "val"}
    else:
        held, origin = _chosen(report, images, seed)
        was = _with_groups(report, earlier or {})
        held = {
            image.path
            for image in images
            if was.get(image.path, VAL if image.path in held else TRAIN) == VAL
        }
    if not held:
        raise DatasetUnusable(f"{report.source} holds too few images: no class has two")
    training = tuple(image for image in images if image.path not in held)
    held_out = tuple(image for image in images if image.path in held)
    return Splits(learned.taxonomy, training, held_out, origin)


def _with_groups(report: Report, earlier: Mapping[Path, str]) -> dict[Path, str]:
    """``earlier`` and, of each group that it knows, the other images: on the same side.

    A copy follows its original first, for a class that is one group is on both sides.
    """
    found: dict[Path, str] = {}
    if report.groups is not None:
        paths = [image.path for image in report.images]
        for groups in (report.groups.of, report.groups.copies):
            members = list(zip(paths, groups, strict=True))
            sides = {group: earlier[path] for path, group in members if path in earlier}
            found |= {path: sides[group] for path, group in members if group in sides}
    return found | dict(earlier)


def _chosen(report: Report, images: list[LabelledImage], seed: int) -> tuple[set[Path], str]:
    """Which of ``images`` to hold out, and a word on how they were chosen."""
    chosen = report.hold_out.held_out if report.hold_out is not None else ()
    held = {image.path for image, out in zip(report.images, chosen, strict=False) if out}
    sides = [{p.label for p in images if (p.path in held) == side} for side in (False, True)]
    alike = sides[0] ^ sides[1]
    whole = [image for image in images if image.label in alike]
    _, drawn = draw_held_out(whole, seed)
    held = held - {image.path for image in whole} | {image.path for image in drawn}
    places = report.hold_out.places if report.hold_out is not None else None
    kept = "groups of alike images" if places is None else f"{len(places):,} places"
    origin = f"{len(held) / len(images):.0%} of the images, {kept} whole"
    several = {label for label, number in Counter(p.label for p in whole).items() if number > 1}
    if several:
        origin += (
            f"; of {counted(len(several), 'class')} whose images are all "
            f"{'alike' if places is None else 'of one place'}, single images, too"
        )
    return held, origin
