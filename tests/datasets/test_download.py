"""The download: what is kept, what is refused, and what a second run does."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from greengrocer.datasets import download as module
from greengrocer.datasets.download import download, download_listed
from greengrocer.datasets.locations import default_data_dir
from greengrocer.datasets.writing import directory_held
from greengrocer.errors import DownloadFailed, UsageError

Files = dict[str, bytes]
Checksums = dict[str, str]
Pack = Callable[..., bytes]


def contents(directory: Path) -> Files:
    """Every file below ``directory``, hidden and half-written ones included."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


def lay_out(files: Files, directory: Path) -> Path:
    for path, content in files.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_bytes(content)
    return directory


@pytest.mark.parametrize("below", [".", "GroceryStoreDataset-abc"])
def test_the_listed_files_of_a_directory_are_copied(
    files: Files, listing: Checksums, destination: Path, tmp_path: Path, below: str
) -> None:
    source = tmp_path / "source"
    lay_out({**files, "unlisted.txt": b"x", "dataset/train/other.jpg": b"y"}, source / below)

    report = download_listed(destination, str(source), listing)

    assert contents(destination.parent) == {f"groceries/{path}": files[path] for path in files}
    assert report == module.DownloadReport(
        destination, len(files), sum(map(len, files.values())), len(files), without_test=False
    )


@pytest.mark.parametrize("folder", ["", "./", "GroceryStoreDataset-abc/"])
def test_the_listed_files_of_an_archive_are_extracted(
    files: Files, listing: Checksums, destination: Path, tmp_path: Path, pack: Pack, folder: str
) -> None:
    archive = tmp_path / "archive"
    archive.write_bytes(pack({"extra/README.md": b"stray", "z.txt": b"x", **files}, folder))

    report = download_listed(destination, str(archive), listing)

    assert contents(destination.parent) == {f"groceries/{path}": files[path] for path in files}
    assert (report.written, report.without_test) == (len(files), False)


def test_a_missing_test_split_is_accepted_and_reported(
    files: Files, listing: Checksums, destination: Path, tmp_path: Path
) -> None:
    rest = {path: content for path, content in files.items() if "test" not in path}
    source = lay_out(rest, tmp_path / "source")

    report = download_listed(destination, str(source), listing)

    assert report.without_test
    assert contents(destination) == rest
    assert download_listed(destination, str(source), listing).written == 0


@pytest.mark.parametrize("gone", ["dataset/train.txt", "dataset/test.txt"])
def test_a_missing_listed_file_is_named(
    files: Files, listing: Checksums, destination: Path, tmp_path: Path, pack: Pack, gone: str
) -> None:
    archive = tmp_path / "archive"
    archive.write_bytes(pack({path: files[path] for path in files if path != gone}))

    with pytest.raises(DownloadFailed) as caught:
        download_listed(destination, str(archive), listing)

    assert str(caught.value).startswith(f"{gone} is missing from {archive}:")


def test_a_file_with_another_digest_is_named_and_never_written(
    files: Files, listing: Checksums, destination: Path, tmp_path: Path, pack: Pack
) -> None:
    archive = tmp_path / "archive"
    archive.write_bytes(pack({**files, "dataset/train.txt": b"other"}))

    with pytest.raises(DownloadFailed) as caught:
        download_listed(destination, str(archive), listing)

    assert str(caught.value).startswith(f"dataset/train.txt in {archive} is not the listed file")
    assert "\n" not in str(caught.value)
    assert "dataset/train.txt" not in contents(destination)


def test_a_second_run_only_writes_damaged_files_again(
    files: Files, listing: Checksums, destination: Path, tmp_path: Path
) -> None:
    source = lay_out(files, tmp_path / "source")
    download_listed(destination, str(source), listing)

    assert download_listed(destination, "http://nowhere.invalid/", listing).written == 0
    (destination / "README.md").write_bytes(b"half")
    assert download_listed(destination, str(source), listing).written == 1
    assert contents(destination) == files


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("nothing-here", "there is no directory and no archive at "),
        ("empty", "has no dataset/classes.csv, nor has a folder in it"),
        ("page.html", "is neither a .tar.gz nor a .zip archive"),
    ],
)
def test_a_source_of_another_kind_is_refused(
    listing: Checksums, destination: Path, tmp_path: Path, source: str, told: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "page.html").write_text("<html>")

    with pytest.raises(DownloadFailed) as caught:
        download_listed(destination, str(tmp_path / source), listing)

    assert told in str(caught.value)
    assert str(tmp_path / source) in str(caught.value)
    assert not destination.exists()


def test_a_destination_that_is_a_file_is_refused(
    files: Files, listing: Checksums, tmp_path: Path
) -> None:
    source = lay_out(files, tmp_path / "source")
    (tmp_path / "file").touch()

    with pytest.raises(UsageError, match="file is not a directory: name another"):
        download_listed(tmp_path / "file", str(source), listing)
    with pytest.raises(UsageError, match=r"cannot write to .*below: Not a directory"):
        download_listed(tmp_path / "file" / "below", str(source), listing)


def test_a_full_disk_is_one_line_and_leaves_no_partial_file(
    files: Files,
    listing: Checksums,
    destination: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = lay_out(files, tmp_path / "source")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("greengrocer.datasets.writing.os.replace", full)
    with pytest.raises(UsageError) as caught:
        download_listed(destination, str(source), listing)

    assert str(caught.value) == (
        f"cannot write to {destination}: No space left on device; "
        "make room or name another directory with --data"
    )
    assert not destination.exists()


def test_only_one_run_at_a_time_is_allowed(listing: Checksums, destination: Path) -> None:
    with (
        directory_held(destination),
        pytest.raises(UsageError, match=r"another download into .* is running"),
    ):
        download_listed(destination, "unused", listing)


def test_the_default_destination_follows_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))

    assert default_data_dir() == tmp_path / "greengrocer" / "grocery-store-dataset"


def test_the_real_data_set_is_downloaded(tmp_path: Path) -> None:
    source = os.environ.get("GREENGROCER_DATA")
    if not source:
        pytest.skip("GREENGROCER_DATA names no copy of the data set")

    report = download(tmp_path / "data", source)

    assert report.files in (3211, 5697)
    assert report.without_test == (report.files == 3211)
    assert sum(path.is_file() for path in (tmp_path / "data").rglob("*")) == report.files
