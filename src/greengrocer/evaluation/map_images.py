"""Every image of a run through one function, side by side, with a progress bar."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from greengrocer.errors import DatasetUnusable, ImageRefused
from greengrocer.regular_files import MAX_IMAGE_BYTES, read_regular

T = TypeVar("T")


def map_images(
    paths: Sequence[Path], work: Callable[[int, bytes], T], threads: int, doing: str
) -> list[T]:
    """``work(index, bytes)`` for every file, on ``threads`` threads; results in order of ``paths``.

    The bar says what it is ``doing`` and how long it will take. Raises DatasetUnusable, which names
    the file, where it cannot be read or ``work`` raises an ImageRefused.
    """

    def one(index: int, path: Path) -> T:
        try:
            return work(index, read_regular(path, MAX_IMAGE_BYTES))
        except OSError as error:
            raise DatasetUnusable(f"{path}: {error.strerror}") from error
        except ImageRefused as error:
            raise DatasetUnusable(f"{path}: {error}") from error

    with ThreadPoolExecutor(threads, thread_name_prefix=doing) as pool:
        results = pool.map(one, range(len(paths)), paths)
        return list(tqdm(results, doing, len(paths), unit="image", mininterval=1, disable=None))
