"""A progress bar on a terminal, and nothing where standard error is no terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm


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
