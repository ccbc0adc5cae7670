"""Lists of labelled images, as CSV or JSON lines: the columns under the names that people use."""

import csv
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
    for _, record in _records(table):
        return find_columns(list(record))
    return Columns(None, None, None, None)


def read_rows(table: Path, *, needs_path: bool = True) -> Iterator[Row]:
    """The lines of ``table``. Raises DatasetUnusable, with the line's number, for a bad one.

    Without ``needs_path`` the path may be missing: a list of classes has none.
    """
    columns: Columns | None = None
    for line, record in _records(table):
        columns = columns or find_columns(list(record))
        if columns.label is None or (needs_path and columns.path is None):
            wanted = "path and label" if needs_path else "class and coarse"
            raise DatasetUnusable(
                f"{table} needs a first line with the names of its columns, {wanted} among them: "
                f"it has {one_line(', '.join(map(str, record)), MAX_NAME) or 'none'}"
            )
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
    if table.suffix.lower() in JSON_SUFFIXES:
        yield from _json_records(table, text)
    else:
        yield from _csv_records(table, text)


def _csv_records(table: Path, text: str) -> Iterator[tuple[int, Mapping[str, object]]]:
    lines = text.splitlines(keepends=True)
    header = lines[0] if lines else ""
    delimiter = max(",;\t", key=header.count)
    rows = csv.DictReader(lines, delimiter=delimiter, skipinitialspace=True)
    try:
        for record in rows:
            yield rows.line_num, {name: value for name, value in record.items() if name}
    except csv.Error as error:
        raise DatasetUnusable(f"{table}, line {rows.line_num}: {error}") from error


def _json_records(table: Path, text: str) -> Iterator[tuple[int, Mapping[str, object]]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DatasetUnusable(f"{table}, line {number}: not JSON") from error
        if not isinstance(record, dict):
            raise DatasetUnusable(f"{table}, line {number}: not a JSON object")
        yield number, record
