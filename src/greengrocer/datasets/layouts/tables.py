"""Images that a list labels: a CSV or JSON lines, or Hugging Face's ``imagefolder``."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from greengrocer.datasets.layouts.collection import LeftOut, NamedImage, Note
from greengrocer.datasets.layouts.names import is_excluded, one_form, split_of
from greengrocer.datasets.layouts.rows import TABLE_SUFFIXES, Row, columns_of, read_rows
from greengrocer.datasets.layouts.tree import Folder
from greengrocer.errors import DatasetUnusable
from greengrocer.safe_text import MAX_NAME, one_line

METADATA = ("metadata.jsonl", "metadata.csv")
LOOKED_AT = 20  # rows whose files must not all be missing


@dataclass
class Listed:
    """What lists say."""

    images: list[NamedImage] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


def find_metadata(base: Folder) -> list[Path]:
    """Files ``metadata.jsonl`` or ``metadata.csv`` with labels, in ``base`` or its splits."""
    folders = [base.path, *(each.path for each in base.folders if split_of(each.name))]
    found = [folder / name for folder in folders for name in METADATA]
    return [table for table in found if table.is_file() and _has_labels(table)]


def find_tables(base: Folder) -> list[Path]:
    """The list of images in ``base``: one file, or one for each split.

    Raises DatasetUnusable where there are several and it is not clear which is meant.
    """
    found = [table for table in _tables(base) if _any_there(table)]
    if len(found) < 2:
        return found
    splits = [split_of(path.stem) for path in found]
    if None not in splits and len(set(splits)) == len(splits):
        return found
    names = ", ".join(path.name for path in found)
    raise DatasetUnusable(
        f"{base.path} has several lists of images ({names}): name the one that counts, "
        f"as {found[0]}"
    )


def check_unused(base: Folder, classes: int) -> list[Note]:
    """Say which lists in ``base`` were not used, since none of their files is there.

    Raises DatasetUnusable where folders give fewer than two classes: then a list was meant.
    """
    unused = [table for table in _tables(base) if not _any_there(table)]
    if not unused:
        return []
    first = next(read_rows(unused[0])).path
    text = (
        f"none of the first images that {unused[0].name} lists is there, as "
        f"{one_line(first, MAX_NAME)}"
    )
    todo = f"a path is relative to the folder of the list, {base.path}: correct the paths"
    if classes < 2:
        raise DatasetUnusable(f"{text}: {todo}")
    return [Note("unused-list", text, tuple(table.name for table in unused), todo)]


def _tables(base: Folder) -> list[Path]:
    """The files in ``base`` that list labels."""
    return [
        path
        for path in sorted(base.path.iterdir())
        if path.suffix.lower() in TABLE_SUFFIXES
        and not path.name.startswith(".")
        and path.is_file()
        and _has_labels(path)
    ]


def read_tables(
    tables: Sequence[Path], tree: Folder, exclude: Sequence[str], *, confined: bool
) -> Listed:
    """The images that ``tables`` list. Paths are relative to the folder of the list.

    ``confined``: paths that lead out of ``tree`` are refused. Raises DatasetUnusable for a bad line
    or where none of the files is there.
    """
    reader = _Reader(tree, exclude, confined=confined)
    for table in tables:
        reader.read(table)
    names = ", ".join(table.name for table in tables)
    if not reader.listed.images:
        rows = len(reader.listed.left_out)
        raise DatasetUnusable(
            f"none of the {rows} images that {names} lists can be used: a path is relative to "
            f"the folder of the list, {tables[0].parent}"
        )
    return reader.finish(names)


class _Reader:
    def __init__(self, tree: Folder, exclude: Sequence[str], *, confined: bool) -> None:
        self.listed = Listed()
        self._tree = tree
        self._exclude = exclude
        self._confined = confined
        self._seen: dict[Path, tuple[str, str]] = {}  # label, and where it is listed
        self._by_form = {one_form(str(path)): path for path in tree.below()}
        self._again = 0
        self._excluded = 0

    def read(self, table: Path) -> None:
        for row in read_rows(table):
            path = self._locate(table, row)
            if path is None:
                continue
            if row.label is None:
                self._leave_out(path, "its label is empty", "unlabelled")
                continue
            where = f"{table.name}, line {row.line}"
            label, before = self._seen.setdefault(path, (row.label, where))
            if before != where:
                self._check_again(path, row.label, label, f"{before} and {where}")
                continue
            split = row.split or split_of(table.stem) or self._split_by_folder(path)
            self.listed.images.append(NamedImage(path, row.label, row.coarse, split))

    def finish(self, names: str) -> Listed:
        """The list, with what a person should know of it."""
        notes = self.listed.notes
        notes.append(Note("labels-from-list", f"the labels come from {names}"))
        unlisted = [path for path in self._by_form.values() if path not in self._seen]
        if unlisted:
            shown = tuple(str(path) for path in islice(unlisted, 10))
            text = f"{len(unlisted)} images are not in {names}: they do not count"
            notes.append(Note("unlisted", text, shown))
        if self._again:
            notes.append(Note("listed-twice", f"{self._again} lines repeat an earlier one"))
        if self._excluded:
            notes.append(Note("excluded", f"{self._excluded} lines are left out by --exclude"))
        splits = [image.split for image in self.listed.images]
        if None in splits and any(splits):
            text = f"{splits.count(None)} images have no split: they count to train"
            notes.append(Note("no-split", text))
            self.listed.images = [
                NamedImage(image.path, image.name, image.coarse, image.split or "train")
                for image in self.listed.images
            ]
        return self.listed

    def _locate(self, table: Path, row: Row) -> Path | None:
        """The file that a row means; None where it does not count."""
        home = table.parent
        path = home / row.path
        if self._confined and not path.resolve().is_relative_to(self._tree.path.resolve()):
            shown = one_line(row.path, MAX_NAME)
            raise DatasetUnusable(f"{table}, line {row.line}: {shown} leads out of the archive")
        if is_excluded(row.path.removeprefix("./"), self._exclude):
            self._excluded += 1
            return None
        other = home / row.path.replace("\\", "/")
        for candidate in (path, other):
            if _is_file(candidate):
                return self._by_form.get(one_form(str(candidate)), candidate)
            named = self._by_form.get(one_form(str(candidate)))
            if named is not None:
                return named
        self._leave_out(path, f"listed in {table.name}, line {row.line}, but not there", "missing")
        return None

    def _split_by_folder(self, path: Path) -> str | None:
        if not path.is_relative_to(self._tree.path):
            return None
        folders = path.relative_to(self._tree.path).parts[:-1]
        return next((split for split in map(split_of, folders) if split), None)

    def _check_again(self, path: Path, label: str, before: str, lines: str) -> None:
        if label != before:
            raise DatasetUnusable(
                f"{lines}: {path.name} is listed as {before!r} and as {label!r}: keep one"
            )
        self._again += 1

    def _leave_out(self, path: Path, why: str, kind: str) -> None:
        self.listed.left_out.append(LeftOut(path, why, kind))


def _has_labels(table: Path) -> bool:
    try:
        columns = columns_of(table)
    except DatasetUnusable:  # some other file: if it is meant, reading it says what is wrong
        return False
    return columns.path is not None and columns.label is not None


def _any_there(table: Path) -> bool:
    """Whether one of the first files that ``table`` lists is there."""
    try:
        rows = list(islice(read_rows(table), LOOKED_AT))
    except DatasetUnusable:
        return True
    paths = [table.parent / row.path.replace("\\", "/") for row in rows]
    return any(_is_file(path) for path in paths)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no system has
        return False
