"""A raised error frees the memory of its work, and keeps its lines until it is logged."""

import gc
import traceback
import weakref
from collections.abc import Callable, Iterator

import pytest

from greengrocer.errors import UnreadableImage
from greengrocer.tracebacks import release_frames


class Pixels:
    """Something large."""


Seen = list[weakref.ref[Pixels]]


@pytest.fixture(autouse=True)
def _without_the_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


def failing(seen: Seen) -> None:
    pixels = Pixels()
    seen.append(weakref.ref(pixels))
    raise ValueError("no good")


def caused(seen: Seen) -> None:
    pixels = Pixels()
    seen.append(weakref.ref(pixels))
    try:
        failing(seen)
    except ValueError as error:
        raise UnreadableImage("damaged") from error


def grouped(seen: Seen) -> None:
    errors: list[Exception] = []
    for _ in range(2):
        try:
            failing(seen)
        except ValueError as error:
            errors.append(error)
    raise ExceptionGroup("both", errors)


def held_by_itself(seen: Seen) -> None:
    held: list[Exception] = []
    try:
        caused(seen)
    except UnreadableImage as error:
        held.append(error)
    raise held[0]


def error_of(work: Callable[[Seen], None], seen: Seen) -> Exception:
    try:
        work(seen)
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize("work", [caused, grouped, held_by_itself])
def test_releasing_an_error_frees_what_the_work_held(work: Callable[[Seen], None]) -> None:
    seen: Seen = []
    error = error_of(work, seen)
    assert [each() for each in seen if each() is not None]
    release_frames(error)
    assert [each() for each in seen] == [None] * len(seen)


def test_an_unexpected_error_keeps_its_lines_until_it_is_logged() -> None:
    seen: Seen = []
    error = error_of(failing, seen)
    release_frames(error)
    assert seen[0]() is None
    assert "in failing" in "".join(traceback.format_exception(error))
    release_frames(error, logged=True)
    assert error.__traceback__ is None
