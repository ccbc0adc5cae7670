"""A progress bar on a terminal; elsewhere nothing, or of long work a line each minute."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from tqdm import tqdm

T = TypeVar("T")
LINE_SECONDS = 60.0  # between two lines where there is no terminal
SOON_SECONDS = 5.0  # until the first line of work that a person may wait for


class Progress(Generic[T]):
    """A bar over long work. In a log, where a bar would be noise, it is a line each minute.

    ``soon`` is for work that is mostly short: nothing is shown in its first second, and in a log
    the first line comes after some seconds.
    """

    def __init__(
        self,
        work: Iterable[T],
        what: str,
        total: int | None = None,
        *,
        unit: str,
        leave: bool = True,
        soon: bool = False,
    ) -> None:
        self._work, self._what, self._unit, self._soon = work, what, unit, soon
        self._bar = tqdm(
            work,
            what,
            total,
            unit=unit,
            mininterval=1 if soon else 5,
            delay=1 if soon else 0,
            leave=leave,
            disable=None,
        )

    def __iter__(self) -> Iterator[T]:
        """The work, piece by piece."""
        if not self._bar.disable:
            yield from self._bar
            return
        due = time.monotonic() + (SOON_SECONDS if self._soon else LINE_SECONDS)
        of = f" of {self._bar.total:,}" if self._bar.total is not None else ""
        for done, each in enumerate(self._work, 1):
            yield each
            if (now := time.monotonic()) >= due:
                due = now + LINE_SECONDS
                tqdm.write(f"{self._what}: {self._unit} {done:,}{of}", file=sys.stderr)

    def show(self, **figures: str) -> None:
        """Show figures behind the bar when it is drawn next."""
        self._bar.set_postfix(figures, refresh=False)


@contextmanager
def bytes_bar(what: str, total: int | None, done: int = 0) -> Iterator[Callable[[int], object]]:
    """Show a bar over ``total`` bytes, ``done`` of them before; call its value with each size.

    The remaining time is shown where ``total`` is known.
    """
    with tqdm(
        desc=what, total=total, initial=done, unit="B", unit_scale=True, disable=None, leave=False
    ) as bar:
        yield bar.update


@contextmanager
def files_bar(what: str, total: int | None) -> Iterator[Callable[[int], object]]:
    """Show a bar over ``total`` files, if known; call its value with the size in bytes of each."""
    size = 0
    with tqdm(desc=what, total=total, unit=" files", disable=None, leave=False) as bar:

        def advance(further: int) -> None:
            nonlocal size
            size += further
            bar.set_postfix_str(f"{size / 1e6:.1f} MB", refresh=False)
            bar.update()

        yield advance
