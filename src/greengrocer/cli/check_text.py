"""A report on a data set, as text for a person."""

from collections import Counter
from collections.abc import Iterator, Sequence

from greengrocer.datachecks.check import ClassCount, Report
from greengrocer.datachecks.problems import EXAMPLES, Problem, Severity, counted
from greengrocer.datasets.layouts.names import SPLITS
from greengrocer.safe_text import one_line

MOST_CLASSES = 30  # that are listed one by one
WIDEST = 40  # characters of a name in the table

LAYOUTS = {
    "folders": "a folder for each class",
    "table": "a list",
    "imagefolder": "an imagefolder with metadata",
    "grocery": "the layout of the Grocery Store Dataset",
}
MARKS = {Severity.ERROR: "ERROR", Severity.WARNING: "Warning", Severity.NOTE: "Note"}


def report_lines(report: Report) -> Iterator[str]:
    """The lines to print."""
    yield _summary(report)
    yield ""
    yield from _table(report.classes(), bool(report.collection.taxonomy.coarse))
    for problem in report.problems:
        yield ""
        yield from _problem(problem)
    yield ""
    if report.trainable:
        classes = counted(len(report.collection.taxonomy.classes), "class")
        how = "" if report.trainable_quickly else ", but not with --quick"
        yield f"Ready to train{how}: {counted(len(report.images), 'image')} of {classes}."
    else:
        errors = sum(problem.severity is Severity.ERROR for problem in report.problems)
        yield f"Not ready to train: {counted(errors, 'error')} above."


def _summary(report: Report) -> str:
    taxonomy = report.collection.taxonomy
    parts = [counted(len(taxonomy.classes), "class")]
    if taxonomy.coarse:
        parts.append(f"in {counted(len(taxonomy.coarse), 'group')}")
    by_split = Counter(report.splits)
    splits = [f"{by_split[split]:,} {split}" for split in SPLITS if by_split[split]]
    how = f" ({', '.join(splits)})" if splits else ""
    formats = Counter(each.format for each in report.opened)
    kinds = ", ".join(f"{number:,} {name}" for name, number in formats.most_common())
    size = sum(each.bytes for each in report.opened) / 1e6
    layout = LAYOUTS[report.collection.layout]
    return one_line(
        f"{report.source}: {counted(len(report.images), 'image')}{how} of {' '.join(parts)}"
        f"{_places(report)}, as {layout}; {kinds or 'none'}, {size:,.1f} MB"
    )


def _places(report: Report) -> str:
    places = {image.place for image in report.collection.images if image.place}
    return f" from {counted(len(places), 'place')}" if places else ""


def _table(classes: Sequence[ClassCount], coarse: bool) -> Iterator[str]:
    """A line for each class; of very many, the smallest."""
    listed = sorted(classes, key=lambda each: each.images)[:MOST_CLASSES]
    kept = [each for each in classes if each in listed]
    splits = [split for split in SPLITS if any(split in each.by_split for each in classes)]
    header = ["class", *(["group"] if coarse else []), "images", *splits]
    rows = [
        [
            one_line(each.name, WIDEST),
            *([one_line(each.coarse or "", WIDEST)] if coarse else []),
            f"{each.images:,}",
            *(f"{each.by_split.get(split, 0):,}" for split in splits),
        ]
        for each in kept
    ]
    names = 2 if coarse else 1
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        cells = [
            cell.ljust(width) if place < names else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  " + "  ".join(cells).rstrip()
    if len(kept) < len(classes):
        rest = len(classes) - len(kept)
        yield f"  and {counted(rest, 'larger class')}: --json lists all"


def _problem(problem: Problem) -> Iterator[str]:
    yield one_line(f"{MARKS[problem.severity]}: {problem.text}")
    for item in problem.items[:EXAMPLES]:
        yield f"  {one_line(item, 200)}"
    if len(problem.items) > EXAMPLES:
        yield f"  and {len(problem.items) - EXAMPLES:,} more (--json lists all)"
    if problem.todo:
        yield f"  To do: {problem.todo}."
