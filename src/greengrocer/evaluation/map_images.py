"""Every image of a run through one function, side by side, with a progress bar."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from tqdm import tqdm

from greengrocer.datachecks.files import UnreadableFile
from greengrocer.errors import DatasetUnusable, ImageRefused
from greengrocer.regular_files import MAX_IMAGE_BYTES, read_regular

T = TypeVar("T")


class Mapped(NamedTuple, Generic[T]):
    """The results of the files at ``rows``, places among those given, and all others."""

    results: list[T]
    rows: list[int]
    unreadable: tuple[UnreadableFile, ...]


def map_images(
    paths: Sequence[Path], work: Callable[[int, bytes], T], threads: int, doing: str
) -> list[T]:
    """``work(index, bytes)`` for every file, on ``threads`` threads; results in order of ``paths``.

    The bar says what it is ``doing`` and how long it will take. Raises DatasetUnusable, which names
    the file, where it cannot be read or ``work`` raises an ImageRefused.
    """
    found = map_readable(paths, work, threads, doing)
    for each in found.unreadable:
        raise DatasetUnusable(f"{each.path}: {each.why}")
    return found.results


def map_readable(
    paths: Sequence[Path], work: Callable[[int, bytes], T], threads: int, doing: str
) -> Mapped[T]:
    """The same for every file that can be read and is not refused."""

    def one(index: int, path: Path) -> T | UnreadableFile:
        try:
            return work(index, read_regular(path, MAX_IMAGE_BYTES))
        except OSError as error:
            return UnreadableFile(path, error.strerror or str(error))
        except ImageRefused as error:
            return UnreadableFile(path, str(error))

    with ThreadPoolExecutor(threads, thread_name_prefix=doing) as pool:
        done = pool.map(one, range(len(paths)), paths)
        found = list(tqdm(done, doing, len(paths), unit="image", mininterval=1, disable=None))
    rows = [row for row, each in enumerate(found) if not isinstance(each, UnreadableFile)]
    return Mapped(
        [each for each in found if not isinstance(each, UnreadableFile)],
        rows,
        tuple(each for each in found if isinstance(each, UnreadableFile)),
    )
