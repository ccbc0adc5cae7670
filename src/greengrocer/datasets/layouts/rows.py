"""Lists of labelled images, as CSV or JSON lines: the columns under the names that people use."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from greengrocer.datasets.layouts.names import one_form, split_of
from greengrocer.errors import DatasetUnusable
from greengrocer.regular_files import MAX_LIST_BYTES, read_regular
from greengrocer.safe_text import MAX_NAME, one_line

CSV_SUFFIXES = frozenset({".csv", ".tsv"})
JSON_SUFFIXES = frozenset({".jsonl", ".ndjson"})
TABLE_SUFFIXES = CSV_SUFFIXES | JSON_SUFFIXES

# In lower case, without blanks, hyphens and underscores.
_PATH = (
    *("path", "filename", "file", "filepath", "image", "imagepath", "imagefile", "imagename"),
    *("img", "imgpath", "imagefilename"),
)
_LABEL = ("label", "class", "classname", "labelname", "category", "target", "fine", "finelabel")
_COARSE = (
    *("coarse", "coarselabel", "coarseclass", "superclass", "supercategory", "group"),
    *("coarsename", "parent"),
)
_SPLIT = ("split", "subset", "set", "partition")


@dataclass(frozen=True)
class Row:
    """A line of a list. ``path`` is as written; ``label`` is None where the cell is empty."""

    line: int
    path: str
    label: str | None
    coarse: str | None
    split: str | None


@dataclass(frozen=True)
class Columns:
    """Which column holds what."""

    path: str | None
    label: str | None
    coarse: str | None
    split: str | None


def find_columns(names: list[str]) -> Columns:
    """The columns among ``names``; where several fit, the first of the known names wins."""
    by_name = {"".join(c for c in name.casefold() if c not in " -_\t"): name for name in names}

    def first(known: tuple[str, ...]) -> str | None:
        return next((by_name[name] for name in known if name in by_name), None)

    return Columns(first(_PATH), first(_LABEL), first(_COARSE), first(_SPLIT))


def columns_of(table: Path) -> Columns:
    """The columns of ``table``; raises DatasetUnusable where it cannot be read."""
    names: dict[str, None] = {}
    columns = Columns(None, None, None, None)
    for _, record in _records(table):
        names.update(dict.fromkeys(record))
        columns = find_columns(list(names))
        if not _is_json(table) or (columns.path is not None and columns.label is not None):
            break
    return columns


def read_rows(table: Path, *, needs_path: bool = True) -> Iterator[Row]:
    """The lines of ``table``. Raises DatasetUnusable, with the line's number, for a bad one.

    Without ``needs_path`` the path may be missing: a list of classes has none.
    """
    known: dict[tuple[str, ...], Columns] = {}  # each JSON object has names of its own
    labelled, line = False, 0
    record: Mapping[str, object] = {}
    for line, record in _records(table):
        names = tuple(record)
        columns = known.get(names) or known.setdefault(names, find_columns(list(names)))
        labelled = labelled or columns.label is not None
        if (needs_path and columns.path is None) or not (labelled or _is_json(table)):
            raise _lacks_columns(table, line, record, needs_path=needs_path)
        where = f"{table}, line {line}"
        path = _text(record, columns.path, where)
        if needs_path and not path:
            raise DatasetUnusable(f"{where}: the column {columns.path!r} is empty")
        yield Row(
            line,
            path or "",
            _text(record, columns.label, where),
            _text(record, columns.coarse, where),
            _split(_text(record, columns.split, where), where),
        )
    if record and not labelled:
        raise _lacks_columns(table, line, record, needs_path=needs_path)


def _is_json(table: Path) -> bool:
    return table.suffix.lower() in JSON_SUFFIXES


def _lacks_columns(
    table: Path, line: int, record: Mapping[str, object], *, needs_path: bool
) -> DatasetUnusable:
    wanted = "path and label" if needs_path else "class and coarse"
    needs = f", line {line}: needs an object" if _is_json(table) else " needs a first line"
    return DatasetUnusable(
        f"{table}{needs} with the names of its columns, {wanted} among them: "
        f"it has {one_line(', '.join(record), MAX_NAME) or 'none'}"
    )


def _split(text: str | None, where: str) -> str | None:
    if text is None:
        return None
    split = split_of(text)
    if split is None:
        raise DatasetUnusable(
            f"{where}: {one_line(text, MAX_NAME)!r} is no split: write train, val or test"
        )
    return split


def _text(record: Mapping[str, object], column: str | None, where: str) -> str | None:
    value = None if column is None else record.get(column)
    if value is None:
        return None
    if not isinstance(value, str | int | float):
        raise DatasetUnusable(f"{where}: the value of {column!r} must be text or a number")
    return one_form(str(value)).strip() or None


def _records(table: Path) -> Iterator[tuple[int, Mapping[str, object]]]:
    try:
        text = read_regular(table, MAX_LIST_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetUnusable(f"{table} is not UTF-8: save it as CSV UTF-8") from error
    except OSError as error:
        raise DatasetUnusable(f"{table}: {error.strerror or error}") from error
    if _is_json(table):
        yield from _json_records(table, text)
    else:
        yield from _csv_records(table, text)


def _csv_records(table: Path, text: str) -> Iterator[tuple[int, Mapping[str, object]]]:
    # Unlike str.splitlines, these end at line breaks alone, not at U+2028 and the like.
    lines = io.StringIO(text, newline="")
    header = lines.readline()
    lines.seek(0)
    delimiter = max(",;\t", key=header.count)
    rows = csv.DictReader(lines, delimiter=delimiter, skipinitialspace=True)
    try:
        for record in rows:
            yield rows.line_num, {name: value for name, value in record.items() if name}
    except csv.Error as error:
        raise DatasetUnusable(f"{table}, line {rows.line_num}: {error}") from error


def _json_records(table: Path, text: str) -> Iterator[tuple[int, Mapping[str, object]]]:
    for number, line in enumerate(io.StringIO(text, newline=None), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DatasetUnusable(f"{table}, line {number}: not JSON") from error
        if not isinstance(record, dict):
            raise DatasetUnusable(f"{table}, line {number}: not a JSON object")
        yield number, record
