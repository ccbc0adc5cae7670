"""Check a data set before anything is trained on it: one report of all that was found."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from greengrocer.datachecks.content_problems import content_problems
from greengrocer.datachecks.contents import TARGET, Looks, compare
from greengrocer.datachecks.files import OpenedImage, UnreadableFile, open_all
from greengrocer.datachecks.findings import Duplicate, Findings, Flaw, OneScene, WrongLabel
from greengrocer.datachecks.groups import Groups
from greengrocer.datachecks.hold_out import HoldOut
from greengrocer.datachecks.problems import (
    SAME_FILE,
    Problem,
    Severity,
    by_severity,
    find_problems,
    same_file,
)
from greengrocer.datasets.dataset import LabelledImage
from greengrocer.datasets.layouts.read import Collection, read_collection, without


@dataclass(frozen=True)
class ClassCount:
    """How many images of a class can be used, in all and by split."""

    name: str
    coarse: str | None
    images: int
    by_split: dict[str, int]  # empty where there are no splits


@dataclass(frozen=True)
class Report:
    """What a check found.

    ``collection`` has the images that can be used; ``images`` are the same with their digests, and
    ``opened`` tells the size of each, all in one order; so are those in ``groups`` and
    ``hold_out``. ``unreadable`` were left out. What was not looked for is None.
    """

    source: Path
    collection: Collection
    images: tuple[LabelledImage, ...]
    opened: tuple[OpenedImage, ...]
    unreadable: tuple[UnreadableFile, ...]
    problems: tuple[Problem, ...]
    duplicates: tuple[Duplicate, ...] | None = None
    label_suspects: tuple[WrongLabel, ...] | None = None
    quality: tuple[Flaw, ...] | None = None
    one_scenes: tuple[OneScene, ...] | None = None
    groups: Groups | None = None
    hold_out: HoldOut | None = None

    @property
    def trainable(self) -> bool:
        """Whether a training can start."""
        return not any(problem.severity is Severity.ERROR for problem in self.problems)

    @property
    def trainable_quickly(self) -> bool:
        """Whether ``train --quick`` can start."""
        return self.trainable and all(problem.code != SAME_FILE for problem in self.problems)

    @property
    def findings(self) -> Findings:
        """What was found in the images, in one object; empty where it was not looked for."""
        return Findings(
            self.duplicates or (),
            self.label_suspects or (),
            self.quality or (),
            self.one_scenes or (),
        )

    @property
    def splits(self) -> tuple[str | None, ...]:
        """The split of each image."""
        return tuple(image.split for image in self.collection.images)

    def classes(self) -> tuple[ClassCount, ...]:
        """The classes, in order of their ids."""
        taxonomy = self.collection.taxonomy
        total = [0] * len(taxonomy.classes)
        by_split: list[dict[str, int]] = [{} for _ in total]
        for image in self.collection.images:
            total[image.label] += 1
            if image.split is not None:
                found = by_split[image.label]
                found[image.split] = found.get(image.split, 0) + 1
        coarse: list[str | None] = [None] * len(total)
        if taxonomy.coarse is not None and taxonomy.coarse_of is not None:
            coarse = [taxonomy.coarse[group] for group in taxonomy.coarse_of]
        return tuple(
            ClassCount(*each)
            for each in zip(taxonomy.classes, coarse, total, by_split, strict=True)
        )


def check(
    source: Path,
    *,
    coarse: str | Path | None = None,
    exclude: Sequence[str] = (),
    threads: int | None = None,
    contents: bool = True,
) -> Report:
    """Read the labelled images at ``source``, open every file and look at what the images show.

    ``coarse`` and ``exclude`` are those of ``read_collection``; ``threads`` work, by default one a
    processor. Without ``contents`` nothing is compared. Raises DatasetUnusable where there are no
    labelled images.
    """
    found = read_collection(source, coarse=coarse, exclude=exclude)
    paths = [image.path for image in found.images]
    looks = Looks(len(paths)) if contents else None
    opened = open_all(paths, threads, looks, TARGET) if looks else open_all(paths, threads)
    collection = without(found, {each.path for each in opened.unreadable})
    images = tuple(
        LabelledImage(image.path, image.label, each.digest)
        for image, each in zip(collection.images, opened.images, strict=True)
    )
    splits = [image.split for image in collection.images]
    problems = by_severity(
        (
            *find_problems(collection, opened.unreadable),
            *same_file(images, splits, collection.root),
        )
    )
    report = Report(source, collection, images, opened.images, opened.unreadable, problems)
    if looks is None or not images:
        return report
    rows = {path: row for row, path in enumerate(paths)}
    return _with_contents(report, looks, [rows[image.path] for image in images], threads)


def _with_contents(
    report: Report, looks: Looks, rows: Sequence[int], threads: int | None
) -> Report:
    classes = report.collection.taxonomy.classes
    places = [image.place for image in report.collection.images]
    seen = compare(report.images, *looks.of(rows), report.splits, classes, threads, places)
    more = content_problems(seen, report.collection.root, classes)
    return replace(
        report,
        problems=by_severity((*report.problems, *more)),
        duplicates=seen.findings.duplicates,
        label_suspects=seen.findings.wrong_labels,
        quality=seen.findings.flaws,
        one_scenes=seen.findings.one_scenes,
        groups=seen.groups,
        hold_out=seen.hold_out,
    )
