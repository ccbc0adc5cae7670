"""The reference pages' tables, made from the code when the site is built, so that they agree.

A Sphinx extension. In a page, a comment of the form ``<!-- made from the code: settings -->``
becomes the table of that name.
"""

import argparse
import io
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import redirect_stdout, suppress
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from unittest.mock import patch

from annotated_types import Ge, Gt, Le, Lt, MinLen
from prometheus_client.metrics import MetricWrapperBase
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from sphinx.application import Sphinx

from greengrocer.answer_json import CLIENT_CLOSED_REQUEST, KINDS
from greengrocer.bundles.manifest import Manifest
from greengrocer.cli.main import build_parser, main
from greengrocer.settings import Settings, flag_of
from greengrocer.telemetry.metrics import Metrics
from greengrocer.training.recipe import Recipe

PLACE = re.compile(r"^<!-- made from the code: ([a-z-]+) -->$", re.MULTILINE)
BOUNDS = {Ge: "at least", Gt: "above", Le: "at most", Lt: "below", MinLen: "at least"}
LONG = 100_000  # a number whose digits are better grouped
COLUMNS = 96  # of the commands' help


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the tables with Sphinx."""
    app.connect("source-read", _fill)
    return {"parallel_read_safe": True}


def filled(text: str) -> str:
    """A page with its tables in place; raises KeyError for an unknown table."""
    return PLACE.sub(lambda place: TABLES[place[1]](), text)


def settings() -> str:
    """Every setting of ``serve``."""
    rows = [
        (f"`{flag_of(name)}`", _default(field), _allowed(field), field.description)
        for name, field in Settings.model_fields.items()
    ]
    return _table(("setting", "default", "allowed", "meaning"), rows)


def errors() -> str:
    """Every code of a request's refusal, by status."""
    refusals = [(kind.status, refusal) for refusal, kind in KINDS.items()]
    rows = [
        (str(status), f"`{refusal.code}`", KINDS[refusal].title, _first_line(refusal))
        for status, refusal in sorted(refusals, key=lambda each: (each[0], each[1].code))
        if status != CLIENT_CLOSED_REQUEST
    ]
    return _table(("status", "code", "title", "meaning"), rows)


def metrics() -> str:
    """Every metric of our own."""
    declared = Metrics()
    declared.batched([0.0])  # theirs are declared by the first batch
    rows = [
        row
        for metric in vars(declared).values()
        if isinstance(metric, MetricWrapperBase)
        for row in _metric_rows(metric)
    ]
    return _table(("metric", "type", "labels", "meaning"), sorted(set(rows)))


def commands() -> str:
    """Every command's help, as it prints it."""
    return "\n".join(
        f"## {' '.join(['greengrocer', *call])}\n\n```text\n{_help(*call)}\n```\n"
        for call in _calls(build_parser())
    )


def manifest() -> str:
    """The manifest's fields."""
    return _fields(Manifest)


def recipe() -> str:
    """The recipe's settings, table by table."""
    parts = {
        name: field.annotation
        for name, field in Recipe.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }
    top = [_field_row(n, f) for n, f in Recipe.model_fields.items() if n not in parts]
    pages = ["## At the top\n", _table(FIELDS, top)]
    for name, part in parts.items():
        pages += [f"\n## `[{name}]`\n", f"{_first_line(part)}\n", _fields(part)]
    return "\n".join(pages)


TABLES: dict[str, Callable[[], str]] = {
    "settings": settings,
    "errors": errors,
    "metrics": metrics,
    "commands": commands,
    "manifest": manifest,
    "recipe": recipe,
}
FIELDS = ("field", "default", "allowed", "meaning")


def _fill(_: Sphinx, __: str, source: list[str]) -> None:
    source[0] = filled(source[0])


def _fields(model: type[BaseModel]) -> str:
    return _table(FIELDS, [_field_row(n, f) for n, f in model.model_fields.items()])


def _field_row(name: str, field: FieldInfo) -> tuple[str, str, str, str | None]:
    return f"`{name}`", _default(field), _allowed(field), field.description


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "must be given"
    value = field.get_default(call_default_factory=True)
    return "" if value in (None, "", {}) else f"`{_written(value)}`"


def _written(value: Any) -> str:
    """A value as TOML and JSON write it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        inside = (f'"{each}"' if isinstance(each, str) else _written(each) for each in value)
        return f"[{', '.join(inside)}]"
    return _number(value) if isinstance(value, int | float) else str(value)


def _number(value: float) -> str:
    """As TOML writes it: long whole numbers in groups."""
    return f"{int(value):_}" if value == int(value) and abs(value) >= LONG else f"{value:g}"


def _allowed(field: FieldInfo) -> str:
    """What a value must be: one of some words, or a type and its bounds."""
    bounds = {
        kind: getattr(bound, name)
        for bound in field.metadata
        for kind, name in ((Ge, "ge"), (Gt, "gt"), (Le, "le"), (Lt, "lt"), (MinLen, "min_length"))
        if isinstance(bound, kind)
    }
    words = [_kind(field.annotation)]
    if Ge in bounds and Le in bounds:
        words += [f"{_number(bounds.pop(Ge))} to {_number(bounds.pop(Le))}"]
    words += [f"{BOUNDS[kind]} {_number(bound)}" for kind, bound in bounds.items()]
    return ", ".join(words)


def _kind(annotation: Any) -> str:
    """A type in words."""
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f"`{choice}`" for choice in inside)
    if origin in (Union, UnionType):
        return " or ".join(_kind(each) for each in inside if each is not type(None))
    if origin is tuple:
        return f"list of {_kind(inside[0])}"
    if origin is Annotated:
        return _kind(inside[0])
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation.__name__.lower()
    names = {"str": "text", "int": "whole number", "float": "number", "bool": "true or false"}
    name = getattr(annotation, "__name__", str(annotation))
    return names.get(name, {"Path": "path", "dict": "object"}.get(name, name))


def _metric_rows(metric: MetricWrapperBase) -> Iterable[tuple[str, str, str, str]]:
    labels = ", ".join(f"`{label}`" for label in metric._labelnames)  # noqa: SLF001 - it is not public
    for described in metric.describe():
        name = described.name + ("_total" if described.type == "counter" else "")
        yield f"`{name}`", described.type, labels, described.documentation


def _calls(parser: argparse.ArgumentParser, *call: str) -> Iterator[tuple[str, ...]]:
    """``call`` and the commands below it, in the order in which they are declared."""
    yield call
    for action in parser._actions:  # noqa: SLF001 - argparse offers no other way
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for name, command in action.choices.items():
                yield from _calls(command, *call, name)


def _help(*call: str) -> str:
    """What ``--help`` prints, at a width of its own whatever the terminal's is."""
    printed = io.StringIO()
    wide = patch.dict(os.environ, {"COLUMNS": str(COLUMNS)})
    with wide, redirect_stdout(printed), suppress(SystemExit):
        main([*call, "--help"])
    return printed.getvalue().rstrip()


def _first_line(thing: type) -> str:
    return (thing.__doc__ or "").strip().splitlines()[0]


def _table(head: Sequence[str], rows: Iterable[Sequence[str | None]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    cells = [[(cell or "").replace("|", "\\|") for cell in line] for line in lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in cells)
