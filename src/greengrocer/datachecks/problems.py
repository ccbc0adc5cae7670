"""What is wrong with a data set as it lies on disk, and whether it can be trained on."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from greengrocer.datachecks.files import UnreadableFile
from greengrocer.datasets.archives import OTHER
from greengrocer.datasets.dataset import LabelledImage
from greengrocer.datasets.layouts.collection import formats_not_read
from greengrocer.datasets.layouts.read import Collection, LeftOut
from greengrocer.datasets.layouts.tree import FOLDER_TOO_DEEP
from greengrocer.datasets.layouts.zipped import DAMAGED, NAMELESS, OUTSIDE, TOO_DEEP


class Severity(StrEnum):
    """An error keeps a training from starting; a warning costs something; a note only informs."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class Problem:
    """``text`` says what is wrong, ``todo`` what to do. ``items`` name all that are meant."""

    code: str
    severity: Severity
    text: str
    todo: str | None = None
    items: tuple[str, ...] = ()


EXAMPLES = 5  # of a problem
SAME_FILE = "same-file"  # the code of what a quick training refuses, and no other

_WARNINGS = frozenset(
    {
        *("similar-names", "one-image", "only-in-test", "not-in-val", "empty-class"),
        *("unreadable-class", "split-as-class", "unlisted", "unused-list", "two-splits"),
        *("unusable-list", "outside"),
    }
)
_LEFT_OUT = {
    "loose": ("beside the folders of classes", "move them into the folder of their class"),
    "missing": ("listed, but not there", "correct the list, or put them there"),
    "unlabelled": ("without a label", "they do not count; give them a label, or leave it so"),
    "unreadable": ("that cannot be opened", "correct the link or the permission"),
    "not-unpacked": (
        "not unpacked from the archive",
        "pack it without links (tar -h --hard-dereference, zip without -y), or name the folder",
    ),
}
_TODO = {  # by cause, where what the kind says does not help
    DAMAGED: "replace the damaged file, and pack the archive again",
    OUTSIDE: "pack the folder itself, so that no path has .. or begins with a / or a drive",
    NAMELESS: "rename the file",
    OTHER: "remove what is a pipe, a socket or a device",
    **dict.fromkeys((TOO_DEEP, FOLDER_TOO_DEEP), "move the files to a folder that is less deep"),
}
_EXPLAINED = ("unreadable", "not-unpacked")  # perhaps folders, links or pipes, each for a reason


def find_problems(
    collection: Collection, unreadable: Sequence[UnreadableFile]
) -> tuple[Problem, ...]:
    """The problems of ``collection``, from which the ``unreadable`` files were taken; worst first.

    Items are paths below the collection's root where they can be.
    """
    root = collection.root
    found = [*_untrainable(collection)]
    if unreadable:
        items = tuple(f"{shown(each.path, root)}: {each.why}" for each in unreadable)
        text = f"{counted(len(items), 'image')} cannot be read: left out"
        found.append(Problem("unreadable", Severity.WARNING, text, "replace or remove them", items))
    found += _by_format(collection.left_out, root)
    for kind, (what, usual) in _LEFT_OUT.items():
        left_out = [each for each in collection.left_out if each.kind == kind]
        items = tuple(
            shown(each.path, root) + (f": {each.why}" if kind in _EXPLAINED else "")
            for each in left_out
        )
        if items:
            todo = "; ".join(dict.fromkeys(_TODO.get(each.why, usual) for each in left_out))
            noun = "path" if kind in _EXPLAINED else "file"
            text = f"{counted(len(items), noun)} {what}"
            found.append(Problem(kind, Severity.WARNING, text, todo, items))
    for note in collection.notes:
        if note.code == "not-in-train":
            continue  # told as an error where it is one
        severity = Severity.WARNING if note.code in _WARNINGS else Severity.NOTE
        found.append(Problem(note.code, severity, note.text, note.todo, note.names))
    return by_severity(found)


def by_severity(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """``problems``, the worst first."""
    order = list(Severity)
    return tuple(sorted(problems, key=lambda problem: order.index(problem.severity)))


def problem_lines(problems: Iterable[Problem], source: Path) -> Iterator[str]:
    """What a training says of ``problems``, each with its first items; ``source`` is checked."""
    problem = None
    for problem in problems:
        if problem.severity is Severity.NOTE:
            yield problem.text
            continue
        yield f"{problem.severity}: {problem.text}"
        yield from (f"  {item}" for item in problem.items[:EXAMPLES])
        if len(problem.items) > EXAMPLES:
            yield f"  and {len(problem.items) - EXAMPLES:,} more"
        if problem.todo:
            yield f"  To do: {problem.todo}."
    if problem is not None:
        yield f"`greengrocer data check {source} --report DIR` shows them"


def _untrainable(collection: Collection) -> Iterable[Problem]:
    """What keeps a training from starting."""
    splits = collection.has_splits
    counts = Counter(
        image.label for image in collection.images if not splits or image.split == "train"
    )
    classes = collection.taxonomy.classes
    if len(counts) < 2:
        has = "one class" if counts else "no class"
        where = "in the split train" if splits else "that can be read"
        text = f"there is {has} with images {where}, and training needs two"
        yield Problem("too-few-classes", Severity.ERROR, text, "add a folder for another class")
        return
    judged = {image.label for image in collection.images if image.split == "val"}
    unknown = tuple(classes[label] for label in sorted(judged - set(counts)))
    if unknown:
        text = f"{counted(len(unknown), 'class')} in the split val, but not in train"
        todo = "put some of its images into train, or take it out of val"
        yield Problem("not-in-train", Severity.ERROR, text, todo, unknown)
    if not judged and max(counts.values()) < 2:
        text = "no class has two images: nothing can be held out to judge the model"
        yield Problem("nothing-to-hold-out", Severity.ERROR, text, "add images to each class")


def same_file(
    images: Iterable[LabelledImage], splits: Iterable[str | None], root: Path
) -> tuple[Problem, ...]:
    """A problem where a file is in two classes, which a quick training refuses.

    ``images`` have their digests; those of the split "test" do not count.
    """
    first: dict[str | None, LabelledImage] = {}
    items = []
    for image, split in zip(images, splits, strict=True):
        if split != "test":
            before = first.setdefault(image.digest, image)
            if before.label != image.label:
                items.append(f"{shown(image.path, root)} = {shown(before.path, root)}")
    if not items:
        return ()
    text = (
        f"{counted(len(items), 'file')} in two classes, byte for byte: `train --quick` refuses that"
    )
    todo = "remove the wrong one of each pair"
    return (Problem(SAME_FILE, Severity.WARNING, text, todo, tuple(items)),)


def _by_format(left_out: Sequence[LeftOut], root: Path) -> Iterable[Problem]:
    told = formats_not_read(left_out)
    if told is None:
        return
    kinds, todo = told
    named = sorted((each.format, shown(each.path, root)) for each in left_out if each.format)
    text = f"files in formats that are not read: {kinds}"
    items = tuple(path for _, path in named)
    yield Problem("formats", Severity.WARNING, text, todo, items)


def shown(path: Path, root: Path) -> str:
    """``path`` from ``root``, where it lies below."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def counted(number: int, what: str) -> str:
    """A number and its noun: 1 image, 2 images, 1,000 classes."""
    plural = f"{what}es" if what.endswith("s") else f"{what}s"
    return f"{number:,} {what if number == 1 else plural}"
