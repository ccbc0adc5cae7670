import zipfile
from pathlib import Path

import pytest

from greengrocer.datasets.layouts import zipped
from greengrocer.datasets.layouts.read import read_collection
from greengrocer.errors import DatasetUnusable
from support.layouts import by_class, draw
from support.make_images import jpeg

NAMES = ("photos/train/a/1.jpg", "photos/train/b/2.jpg", "photos/valid/a/3.jpg")


def packed(tmp_path: Path, members: dict[str, bytes]) -> Path:
    archive = tmp_path / "photos.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return archive


def test_a_zip_is_read_as_its_folder_is_and_unpacked_once(tmp_path: Path, cache: Path) -> None:
    members = {name: jpeg(level) for level, name in enumerate(NAMES)}
    archive = packed(tmp_path, members | {"__MACOSX/photos/._1.jpg": b"x", "../out.jpg": b"x"})
    found = read_collection(archive)
    assert by_class(found) == {"a": ["train:1.jpg", "val:3.jpg"], "b": ["train:2.jpg"]}
    times = {path: path.stat().st_mtime_ns for path in cache.rglob("*")}
    assert len([path for path in times if path.is_file()]) == 3
    assert read_collection(archive) == found
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*")} == times


def test_a_zip_made_with_backslashes_is_read(tmp_path: Path) -> None:
    archive = packed(tmp_path, {"a\\1.jpg": jpeg(1), "b\\2.jpg": jpeg(2)})
    assert by_class(read_collection(archive)) == {"a": ["1.jpg"], "b": ["2.jpg"]}


def test_a_zip_of_a_list(tmp_path: Path) -> None:
    table = b"path,label\nx/1.jpg,fig\nx/2.jpg,leek\n"
    archive = packed(tmp_path, {"l.csv": table, "x/1.jpg": jpeg(1), "x/2.jpg": jpeg(2)})
    assert by_class(read_collection(archive)) == {"fig": ["1.jpg"], "leek": ["2.jpg"]}


@pytest.mark.parametrize("path", ["../../../../1.jpg", "{outside}/1.jpg"])
def test_a_list_in_a_zip_names_no_files_outside(tmp_path: Path, outside: Path, path: str) -> None:
    draw(outside, "1.jpg")
    table = f"path,label\nx/1.jpg,fig\n{path.format(outside=outside)},leek\n"
    archive = packed(tmp_path, {"l.csv": table.encode(), "x/1.jpg": jpeg(1)})
    with pytest.raises(DatasetUnusable, match=r"line 3: .* leads out of the archive"):
        read_collection(archive)


def test_a_zip_that_grows_too_much_is_refused(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zipped, "ALLOWANCE", 1000)
    archive = packed(tmp_path, {"a/1.jpg": bytes(10_000_000)})
    with pytest.raises(DatasetUnusable, match="is refused: it unpacks to more than"):
        read_collection(archive)
    assert not [path for path in cache.rglob("*") if path.is_file()]


@pytest.mark.parametrize("content", [b"", b"PK\3\4 nothing", b"text"])
def test_a_damaged_zip_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "photos.zip").write_bytes(content)
    with pytest.raises(DatasetUnusable) as refused:
        read_collection(tmp_path / "photos.zip")
    assert "photos.zip" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_zip_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DatasetUnusable, match=r"photos\.zip: No such file"):
        read_collection(tmp_path / "photos.zip")
