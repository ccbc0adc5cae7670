"""Images that a list labels: a CSV or JSON lines, or Hugging Face's ``imagefolder``."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from greengrocer.datasets.layouts.collection import LeftOut, NamedImage, Note
from greengrocer.datasets.layouts.names import is_path_excluded, one_form, split_of
from greengrocer.datasets.layouts.rows import TABLE_SUFFIXES, Row, columns_of, read_rows
from greengrocer.datasets.layouts.tree import Folder
from greengrocer.errors import DatasetUnusable
from greengrocer.regular_files import MAX_LIST_BYTES
from greengrocer.safe_text import MAX_NAME, one_line

METADATA = ("metadata.jsonl", "metadata.csv")
UNUSABLE = "unusable-list"  # the code of a note
MOST_BYTES = 2**28  # of all lists in a folder and its splits
LOOKED_AT = 20  # rows whose files must not all be missing


@dataclass
class Listed:
    """What lists say."""

    images: list[NamedImage] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


def find_metadata(base: Folder) -> list[Path]:
    """Files ``metadata.jsonl`` or ``metadata.csv`` with labels, in ``base`` or its splits.

    Raises DatasetUnusable where there is too much to read in the lists of ``base``.
    """
    of_splits = _metadata_of_splits(base)
    _check_bytes(base, [*_named_as_lists(base), *of_splits])
    found = [path for path in (base.path / name for name in METADATA) if path.is_file()]
    return [table for table in (*found, *of_splits) if why_no_list(table) is None]


def find_tables(base: Folder) -> list[Path]:
    """The list of images in ``base``: one file, or one for each split.

    Raises DatasetUnusable where there are several and it is not clear which is meant.
    """
    found, _ = _tables(base)
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
    _, unused = _tables(base)
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


def unusable_lists(base: Folder, others: Sequence[Path] = ()) -> list[Note]:
    """Which files in ``base`` are named as lists but list no labels, and why, but for ``others``.

    Those of its splits that are called as an imagefolder's are looked at, too.
    """
    found = []
    for table in (*_named_as_lists(base), *_metadata_of_splits(base)):
        if not table.exists() or not any(map(table.samefile, filter(Path.exists, others))):
            why = why_no_list(table)
            if why:
                found.append(f"{table.relative_to(base.path)}: {why}")
    if not found:
        return []
    files = f"{len(found)} files look like lists" if len(found) > 1 else "a file looks like a list"
    text = f"{files} of images, but cannot be used"
    todo = "a list needs the columns path and label; if it is none, leave it so"
    return [Note(UNUSABLE, text, tuple(found), todo)]


def _tables(base: Folder) -> tuple[list[Path], list[Path]]:
    """The files in ``base`` that list labels: those whose images are there, and the others."""
    tables = [path for path in _named_as_lists(base) if why_no_list(path) is None]
    by_form = _by_form(base) if tables else {}
    there = [table for table in tables if _any_there(table, by_form)]
    return there, [table for table in tables if table not in there]


def _named_as_lists(base: Folder) -> list[Path]:
    return [
        path
        for path in sorted(base.path.iterdir())
        if path.suffix.lower() in TABLE_SUFFIXES
        and not path.name.startswith(".")
        and _no_folder(path)
    ]


def _metadata_of_splits(base: Folder) -> list[Path]:
    splits = [each.path for each in base.folders if split_of(each.name)]
    found = [split / name for split in splits for name in METADATA]
    return [path for path in found if _no_folder(path)]


def _no_folder(path: Path) -> bool:
    """Whether something other than a folder is there, perhaps a pipe or a link to nothing."""
    return os.path.lexists(path) and not path.is_dir()


def _check_bytes(base: Folder, tables: Sequence[Path]) -> None:
    """Raise DatasetUnusable where ``tables`` are too large together.

    One that is too large by itself is not read, and does not count.
    """
    there = (path.stat().st_size for path in tables if path.exists())
    sizes = [size for size in there if size <= MAX_LIST_BYTES]
    if sum(sizes) > MOST_BYTES:
        raise DatasetUnusable(
            f"{base.path} has {len(sizes)} files named as lists, of {sum(sizes) / 1e6:.0f} MB "
            f"together, over the limit of {MOST_BYTES / 1e6:.0f} MB: name the one that counts, as "
            f"{tables[0]}, or move away those that list no images"
        )


def read_tables(
    tables: Sequence[Path], tree: Folder, root: Path, exclude: Sequence[str], *, confined: bool
) -> Listed:
    """The images that ``tables`` list. Paths are relative to the folder of the list.

    ``exclude`` has patterns of names, or of paths from ``root``. ``confined``: paths that lead out
    of ``tree`` are refused. Raises DatasetUnusable for a bad line or where none of the files is
    there.
    """
    reader = _Reader(tree, root, exclude, confined=confined)
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


@dataclass(frozen=True, eq=False)
class _Entry:
    """What the first line that names a file says, and where it is."""

    label: str
    split: str | None
    where: str


class _Reader:
    def __init__(self, tree: Folder, root: Path, exclude: Sequence[str], *, confined: bool) -> None:
        self.listed = Listed()
        self._tree = tree
        self._root = root
        self._exclude = exclude
        self._confined = confined
        self._seen: dict[Path, _Entry] = {}
        self._by_form = _by_form(tree)
        self._again = 0
        self._in_two_splits: dict[Path, None] = {}  # in the order of the list
        self._excluded = 0
        self._outside: list[str] = []

    def read(self, table: Path) -> None:
        for row in read_rows(table):
            path = self._locate(table, row)
            if path is None:
                continue
            if row.label is None:
                self._leave_out(path, "its label is empty", "unlabelled")
                continue
            split = row.split or split_of(table.stem) or self._split_by_folder(path, row.label)
            entry = _Entry(row.label, split, f"{table.name}, line {row.line}")
            before = self._seen.setdefault(path, entry)
            if before is entry:
                self.listed.images.append(NamedImage(path, row.label, row.coarse, split))
            else:
                self._check_again(path, entry, before)

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
        if self._in_two_splits:
            files = tuple(map(str, self._in_two_splits))
            text = f"{len(files)} files are listed in two splits: the first one counts"
            notes.append(Note("two-splits", text, files, "keep one line of each"))
        if self._outside:
            text = (
                f"{len(self._outside)} paths lead out of the folder of the list, as "
                f"{one_line(self._outside[0], MAX_NAME)}: they are read all the same"
            )
            notes.append(
                Note("outside", text, (), "take these lines out if you did not write them")
            )
        if self._excluded:
            notes.append(Note("excluded", f"{self._excluded} lines are left out by --exclude"))
        return self.listed

    def _locate(self, table: Path, row: Row) -> Path | None:
        """The file that a row means; None where it does not count."""
        candidates = _meant(table, row)
        if self._confined and any(map(self._leads_out, candidates)):
            shown = one_line(row.path, MAX_NAME)
            raise DatasetUnusable(f"{table}, line {row.line}: {shown} leads out of the archive")
        if any(is_path_excluded(path, self._root, self._exclude) for path in candidates):
            self._excluded += 1
            return None
        for candidate in candidates:
            named = self._by_form.get(one_form(str(candidate)))
            if named is not None or _is_file(candidate):
                if not _below(candidate, self._tree.path):
                    self._outside.append(row.path)
                return named or candidate
        why = f"listed in {table.name}, line {row.line}, but not there"
        self._leave_out(candidates[0], why, "missing")
        return None

    def _leads_out(self, path: Path) -> bool:
        try:
            return not path.resolve().is_relative_to(self._tree.path.resolve())
        except ValueError:  # a name that no system has
            return False

    def _split_by_folder(self, path: Path, label: str) -> str | None:
        """The split that a folder is called as, unless it is the folder of the class."""
        if not path.is_relative_to(self._tree.path):
            return None
        folders = path.relative_to(self._tree.path).parts[:-1]
        others = [name for name in folders if one_form(name).casefold() != label.casefold()]
        return next((split for split in map(split_of, others) if split), None)

    def _check_again(self, path: Path, entry: "_Entry", before: "_Entry") -> None:
        if entry.label != before.label:
            raise DatasetUnusable(
                f"{before.where} and {entry.where}: {path.name} is listed as {before.label!r} and "
                f"as {entry.label!r}: keep one"
            )
        if (entry.split or "train") != (before.split or "train"):
            self._in_two_splits[path] = None
        else:
            self._again += 1

    def _leave_out(self, path: Path, why: str, kind: str) -> None:
        self.listed.left_out.append(LeftOut(path, why, kind))


def why_no_list(table: Path) -> str | None:
    """Why ``table`` is no list of labelled images; None where it is one."""
    try:
        columns = columns_of(table)
    except DatasetUnusable as error:
        return str(error).removeprefix(str(table)).lstrip(",: ")
    lacks = [name for name in ("path", "label") if getattr(columns, name) is None]
    return f"it has no column {' and no column '.join(lacks)}" if lacks else None


def _any_there(table: Path, by_form: Mapping[str, Path]) -> bool:
    """Whether one of the first files that ``table`` lists is there."""
    try:
        rows = list(islice(read_rows(table), LOOKED_AT))
    except DatasetUnusable:
        return True
    paths = [path for row in rows for path in _meant(table, row)]
    return any(one_form(str(path)) in by_form or _is_file(path) for path in paths)


def _meant(table: Path, row: Row) -> list[Path]:
    """The path of a row as it is written, and with slashes for backslashes."""
    written = (row.path, row.path.replace("\\", "/"))
    return [table.parent / path for path in dict.fromkeys(written)]


def _below(path: Path, folder: Path) -> bool:
    """Whether ``path`` lies below ``folder`` as it is written; links are not followed."""
    written, top = (Path(os.path.abspath(each)) for each in (path, folder))  # noqa: PTH100
    return written.is_relative_to(top)


def _by_form(tree: Folder) -> dict[str, Path]:
    """The images below ``tree`` by their paths in one Unicode form."""
    return {one_form(str(path)): path for path in tree.below()}


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no system has
        return False
