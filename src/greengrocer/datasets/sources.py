"""Where the data set's files come from: a directory, an archive, or an archive's URL."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from greengrocer.datasets.archives import MEMBER_LIMIT, Files, read_archive
from greengrocer.datasets.checksums import listed_path
from greengrocer.datasets.fetch import fetch, forget
from greengrocer.errors import DownloadFailed
from greengrocer.regular_files import NotRegularFile, read_regular
from greengrocer.safe_text import without_secrets

# Tells the data set's root from other directories.
LANDMARK = Path("dataset", "classes.csv")


@contextmanager
def opened(source: str, destination: Path, wanted: Mapping[str, str]) -> Iterator[Files]:
    """Open ``source``: path and content of each of its files that is then in ``wanted``.

    An archive that has been fetched lies next to ``destination``, and stays there where the body
    is interrupted, but not where it finds, by raising DownloadFailed, that it is of no use.

    Raises DownloadFailed where ``source`` is out of reach, damaged, or nothing of the kind.
    """
    if "://" in source:
        with _fetched(source, destination) as archive:
            yield _from_archive(archive, source, wanted)
        return
    with _read_errors_as_download_failed(source):
        is_directory = Path(source).is_dir()
        if not is_directory and not Path(source).is_file():
            raise DownloadFailed(
                f"there is no directory and no archive at {source}: check what --from names"
            )
    if is_directory:
        yield _from_directory(_root_of(Path(source)), wanted)
    else:
        yield _from_archive(Path(source), source, wanted)


@contextmanager
def _read_errors_as_download_failed(what: object) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DownloadFailed(f"cannot read {what}: {error.strerror or error}") from error


@contextmanager
def _fetched(url: str, destination: Path) -> Iterator[Path]:
    if not url.lower().startswith(("http://", "https://")):
        raise DownloadFailed(
            f"cannot download {without_secrets(url)}: only http:// and https:// are understood"
        )
    archive = destination.with_name(f"{destination.name}.download")
    fetch(url, archive)
    try:
        yield archive
    except DownloadFailed:
        forget(archive)
        raise
    forget(archive)


def _from_archive(archive: Path, label: str, wanted: Mapping[str, str]) -> Files:
    return read_archive(archive, label, partial(listed_path, wanted=wanted))


def _from_directory(root: Path, wanted: Mapping[str, str]) -> Files:
    for path in list(wanted):
        file = root / path
        with _read_errors_as_download_failed(file):
            if not file.is_file():
                continue
            try:
                content = read_regular(file, MEMBER_LIMIT)
            except NotRegularFile as error:
                raise DownloadFailed(f"{file} is refused: it {error.strerror}") from error
        yield path, content


def _root_of(directory: Path) -> Path:
    with _read_errors_as_download_failed(directory):
        for candidate in (directory, *sorted(directory.iterdir())):
            if (candidate / LANDMARK).is_file():
                return candidate
    raise DownloadFailed(
        f"{directory} has no {LANDMARK}, nor has a folder in it: name the data set's root"
    )
