"""Lists of labelled images, as CSV or JSON lines: the columns under the names that people use."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from greengrocer.datasets.layouts.names import one_form, split_of
from greengrocer.datasets.progress import Progress
from greengrocer.errors import DatasetUnusable
from greengrocer.regular_files import MAX_LIST_BYTES, NotRegularFile, read_regular
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
_BLANKS = str.maketrans("", "", " -_\t")

MOST_COLUMNS = 1_000  # of a list; of JSON lines, different names in all of it
MOST_CHARACTERS = 2**20  # of a row
csv.field_size_limit(MOST_CHARACTERS)  # in all of the process; the module's own limit is an eighth


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
    """Which column holds what. ``names`` are those of all columns."""

    path: str | None
    label: str | None
    coarse: str | None
    split: str | None
    names: tuple[str, ...] = ()


_Record: TypeAlias = tuple[int, Columns, Mapping[str, object]]  # line, columns, value of each


def find_columns(names: Iterable[str]) -> Columns:
    """The columns among ``names``; where several fit, the first of the known names wins."""
    names = tuple(names)
    by_name = {name.casefold().translate(_BLANKS): name for name in names}

    def first(known: tuple[str, ...]) -> str | None:
        return next((by_name[name] for name in known if name in by_name), None)

    return Columns(first(_PATH), first(_LABEL), first(_COARSE), first(_SPLIT), names)


def columns_of(table: Path) -> Columns:
    """The columns of ``table``; raises DatasetUnusable where it cannot be read."""
    found = Columns(None, None, None, None)
    for _, columns, _ in _records(table):
        found = Columns(
            found.path or columns.path,
            found.label or columns.label,
            found.coarse or columns.coarse,
            found.split or columns.split,
        )
        if not _is_json(table) or (found.path is not None and found.label is not None):
            break
    return found


def read_rows(table: Path, *, needs_path: bool = True) -> Iterator[Row]:
    """The lines of ``table``. Raises DatasetUnusable, with the line's number, for a bad one.

    Without ``needs_path`` the path may be missing: a list of classes has none.
    """
    labelled, line = False, 0
    columns = Columns(None, None, None, None)
    for line, columns, record in _records(table):
        labelled = labelled or columns.label is not None
        if (needs_path and columns.path is None) or not (labelled or _is_json(table)):
            raise _lacks_columns(table, line, columns, needs_path=needs_path)
        where = f"{table}, line {line}"
        path = _text(record, columns.path, where)
        if needs_path and not path:
            raise DatasetUnusable(f"{where}: the column {columns.path!r} is empty")
        yield Row(
            line,
            path or "",
            _name(record, columns.label, where),
            _name(record, columns.coarse, where),
            _split(_text(record, columns.split, where), where),
        )
    if line and not labelled:
        raise _lacks_columns(table, line, columns, needs_path=needs_path)


def _is_json(table: Path) -> bool:
    return table.suffix.lower() in JSON_SUFFIXES


def _lacks_columns(
    table: Path, line: int, columns: Columns, *, needs_path: bool
) -> DatasetUnusable:
    wanted = "path and label" if needs_path else "class and coarse"
    needs = f", line {line}: needs an object" if _is_json(table) else " needs a first line"
    return DatasetUnusable(
        f"{table}{needs} with the names of its columns, {wanted} among them: "
        f"it has {one_line(', '.join(columns.names), MAX_NAME) or 'none'}"
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


def _name(record: Mapping[str, object], column: str | None, where: str) -> str | None:
    name = _text(record, column, where)
    if name is not None and ("\n" in name or "\r" in name):
        raise DatasetUnusable(
            f"{where}: the value of {column!r} goes over several lines: write it on one, and look "
            "for a quote that is opened too early"
        )
    return name


def _records(table: Path) -> Iterator[_Record]:
    try:
        text = read_regular(table, MAX_LIST_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetUnusable(f"{table} is not UTF-8: save it as CSV UTF-8") from error
    except NotRegularFile as error:
        wanted = f"a list is a regular file of at most {MAX_LIST_BYTES >> 20} MiB"
        raise DatasetUnusable(f"{table} {error.strerror}: {wanted}") from error
    except OSError as error:
        raise DatasetUnusable(f"{table}: {error.strerror or error}") from error
    records = _json_records(table, text) if _is_json(table) else _csv_records(table, text)
    what = f"reading {one_line(table.name, MAX_NAME)}"
    yield from Progress(records, what, unit="row", leave=False, soon=True)


class _Lines:
    """The lines of a text. Only so much is read for one row, until ``end_row`` is called."""

    def __init__(self, table: Path, text: str, newline: str | None) -> None:
        # Unlike str.splitlines, these end at line breaks alone, not at U+2028 and the like.
        self._text = io.StringIO(text, newline=newline)
        self._table = table
        self._number = self._taken = 0
        self._row: list[str] = []

    def __iter__(self) -> Iterator[str]:
        while line := self._text.readline(MOST_CHARACTERS + 1):
            self._number += 1
            self._taken += len(line)
            self._row.append(line)
            if self._taken > MOST_CHARACTERS:
                first = self._number - len(self._row) + 1
                quote = ", or close its quote" if len(self._row) > 1 else ""
                raise DatasetUnusable(
                    f"{self._table}, line {first}: over {MOST_CHARACTERS:,} characters in one row, "
                    f"the limit: shorten it{quote}"
                )
            yield line

    def end_row(self) -> list[str]:
        """The lines of the row that ends here."""
        row, self._row, self._taken = self._row, [], 0
        return row


def _csv_records(table: Path, text: str) -> Iterator[_Record]:
    lines = _Lines(table, text, newline="")
    header = io.StringIO(text[:MOST_CHARACTERS], newline="").readline()
    delimiter = max(",;\t", key=header.count)
    rows = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    columns = None
    wanted: dict[str, int] = {}  # the others are passed over, so that a short row is read as fast
    try:
        for row in rows:
            written = lines.end_row()
            first = rows.line_num - len(written) + 1
            if len(written) > 1:
                _check_quotes(table, first, written, delimiter)
            if columns is None:
                _check_columns(table, rows.line_num, len(row))
                columns = find_columns(filter(None, row))
                at = {name: index for index, name in enumerate(row)}
                known = (columns.path, columns.label, columns.coarse, columns.split)
                wanted = {name: at[name] for name in known if name is not None}
            elif row:
                values = {name: row[index] for name, index in wanted.items() if index < len(row)}
                yield first, columns, values
    except csv.Error as error:
        raise DatasetUnusable(f"{table}, line {rows.line_num}: {error}") from error


def _check_quotes(table: Path, first: int, written: Sequence[str], delimiter: str) -> None:
    """Refuse a row of several lines whose quote is not closed: it may have swallowed others."""
    try:
        list(csv.reader(written, delimiter=delimiter, skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise DatasetUnusable(
            f'{table}, line {first}: a quote (") is opened, but not closed: close it, or take it '
            "away"
        ) from error


def _json_records(table: Path, text: str) -> Iterator[_Record]:
    lines = _Lines(table, text, newline=None)
    names: set[str] = set()
    for number, line in enumerate(lines, start=1):
        lines.end_row()
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DatasetUnusable(f"{table}, line {number}: not JSON") from error
        if not isinstance(record, dict):
            raise DatasetUnusable(f"{table}, line {number}: not a JSON object")
        names.update(record)
        _check_columns(table, number, len(names))
        yield number, find_columns(record), record


def _check_columns(table: Path, line: int, count: int) -> None:
    if count > MOST_COLUMNS:
        raise DatasetUnusable(f"{table}, line {line}: over {MOST_COLUMNS:,} columns, the limit")
