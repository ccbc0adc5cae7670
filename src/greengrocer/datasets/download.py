"""The public Grocery Store Dataset, brought to a directory and checked file by file."""

import hashlib
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from greengrocer.datasets.archives import Files
from greengrocer.datasets.checksums import Checksums, is_test, shipped_checksums
from greengrocer.datasets.progress import files_bar
from greengrocer.datasets.sources import opened
from greengrocer.datasets.writing import directory_held, write_errors_as_usage_errors, write_whole
from greengrocer.errors import DownloadFailed

COMMIT = "fc80ba90f803d79d0383df52c5a4ac5de99ff6fc"
DEFAULT_SOURCE = f"https://codeload.github.com/marcusklasson/GroceryStoreDataset/tar.gz/{COMMIT}"


@dataclass(frozen=True)
class DownloadReport:
    """What is in the destination now, every file with its listed digest."""

    destination: Path
    files: int
    size: int  # bytes, of all the files
    written: int  # of the files, those that this run wrote: 0 where all were there before
    without_test: bool  # the source has no official test split


def download(destination: Path, source: str | None = None) -> DownloadReport:
    """Bring the data set to ``destination``, which is created, and write only what is not there.

    ``source`` is a directory, a .tar.gz or .zip archive, or the http(s) URL of one; without it,
    the data set's public home. Files outside the shipped list are left out.

    Raises DownloadFailed where the source is out of reach or damaged, or where a listed file is
    missing from it or differs, and UsageError where the destination cannot be written.
    """
    return download_listed(destination, source or DEFAULT_SOURCE, shipped_checksums())


def download_listed(destination: Path, source: str, listing: Checksums) -> DownloadReport:
    """``download``, with a list of the caller's own."""
    destination = destination.absolute()
    with directory_held(destination):
        sizes = _sizes_there(destination, listing)
        there = len(sizes)
        wanted = {path: digest for path, digest in listing.items() if path not in sizes}
        if wanted:
            with opened(source, destination, wanted) as files, closing(files):
                sizes |= _keep(files, destination, wanted, source)
                _check_rest(wanted, listing, source)
    return DownloadReport(
        destination, len(sizes), sum(sizes.values()), len(sizes) - there, bool(wanted)
    )


def _sizes_there(destination: Path, listing: Checksums) -> dict[str, int]:
    """Measure, in bytes, each listed file that is in ``destination`` with its digest."""
    sizes = {}
    with write_errors_as_usage_errors(destination):
        present = [path for path in listing if (destination / path).is_file()]
        with files_bar("Checking", len(present)) as advance:
            for path in present:
                with (destination / path).open("rb") as file:
                    if hashlib.file_digest(file, "sha256").hexdigest() == listing[path]:
                        sizes[path] = file.tell()
                    advance(file.tell())
    return sizes


def _keep(files: Files, destination: Path, wanted: dict[str, str], source: str) -> dict[str, int]:
    """Write those of ``files`` that are as listed, take them off ``wanted``; bytes of each."""
    sizes = {}
    differing: dict[str, str] = {}
    with files_bar("Writing", len(wanted)) as advance:
        for path, content in files:
            digest = hashlib.sha256(content).hexdigest()
            if digest != wanted[path]:
                # No error yet: another member may be the one, a stray README.md for example.
                differing[path] = digest
                continue
            with write_errors_as_usage_errors(destination):
                write_whole(destination / path, content)
            sizes[path] = len(content)
            del wanted[path]
            advance(len(content))
            if not wanted:
                break
    for path in wanted.keys() & differing.keys():
        raise DownloadFailed(
            f"{path} in {source} is not the listed file: its SHA-256 is {differing[path]}, not "
            f"{wanted[path]}; fetch the source again, or name another with --from"
        )
    return sizes


def _check_rest(wanted: Iterable[str], listing: Checksums, source: str) -> None:
    """Accept that the whole test split is missing, and nothing else."""
    missing = set(wanted)
    if missing == {path for path in listing if is_test(path)}:
        return
    for path in sorted(missing, key=lambda path: (is_test(path), path)):
        more = f" (and {len(missing) - 1} more listed files)" if len(missing) > 1 else ""
        raise DownloadFailed(
            f"{path}{more} is missing from {source}: name a complete source with --from"
        )
