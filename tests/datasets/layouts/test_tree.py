import os
from pathlib import Path

import pytest

from greengrocer.datasets.layouts.read import read_collection
from greengrocer.imaging import heif
from support.layouts import by_class, codes, draw, left_out
from support.make_images import encoded, photo

TWO = ("apple/1.jpg", "pear/2.jpg")


@pytest.mark.parametrize(
    "junk",
    [
        *("__MACOSX/apple/._1.jpg", "apple/@eaDir/1.jpg/SYNOPHOTO_THUMB_XL.jpg", ".git/x/1.jpg"),
        *("apple/._1.jpg", "apple/.1.jpg", "apple/Thumbs.db", "apple/desktop.ini"),
        *("$RECYCLE.BIN/x/1.jpg", ".ipynb_checkpoints/1.jpg", "apple/.DS_Store"),
    ],
)
def test_what_systems_leave_behind_never_counts(tmp_path: Path, junk: str) -> None:
    found = read_collection(draw(tmp_path, *TWO, junk))
    assert by_class(found) == {"apple": ["1.jpg"], "pear": ["2.jpg"]}
    assert found.left_out == ()


@pytest.mark.parametrize(
    "name", ["x.jfif", "x.JPE", "x", "IMG.0042", "x.jpg_large", "x.jpg.bak", "x.png~"]
)
def test_files_under_other_names_are_read_by_their_bytes(tmp_path: Path, name: str) -> None:
    found = read_collection(draw(tmp_path, *TWO, f"apple/{name}"))
    assert name in by_class(found)["apple"]


def test_a_file_without_a_suffix_that_is_no_image_does_not_count(tmp_path: Path) -> None:
    draw(tmp_path, *TWO)
    (tmp_path / "apple" / "LICENSE").write_text("text")
    assert by_class(read_collection(tmp_path))["apple"] == ["1.jpg"]


def test_a_photo_that_is_renamed_is_read_by_its_bytes(tmp_path: Path) -> None:
    draw(tmp_path, *TWO)
    (tmp_path / "apple" / "x.heic").write_bytes((tmp_path / TWO[0]).read_bytes())
    (tmp_path / "apple" / "y").write_bytes(b"GIF89a")
    found = read_collection(tmp_path)
    assert by_class(found)["apple"] == ["1.jpg", "x.heic"]
    assert left_out(found) == {"y": "GIF"}


def test_a_pipe_is_told_and_not_waited_for(tmp_path: Path) -> None:
    draw(tmp_path, *TWO)
    os.mkfifo(tmp_path / "apple" / "x.jpg")
    os.mkfifo(tmp_path / "apple" / "x")
    assert left_out(read_collection(tmp_path)) == {"x.jpg": "unreadable"}


def test_formats_that_are_not_read_are_told_by_kind(tmp_path: Path) -> None:
    draw(tmp_path, *TWO, "apple/a.psd", "apple/b.MP4", "apple/c.tif", "pear/d.gif", "pear/e.txt")
    assert left_out(read_collection(tmp_path)) == {
        "a.psd": "PSD",
        "b.MP4": "MP4",
        "c.tif": "TIFF",
        "d.gif": "GIF",
    }


@pytest.mark.parametrize("installed", [True, False])
def test_heic_is_left_out_where_its_reader_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, installed: bool
) -> None:
    monkeypatch.setattr(heif, "is_installed", lambda: installed)
    draw(tmp_path, *TWO, "apple/a.heic", "apple/b.avif")
    found = left_out(read_collection(tmp_path))
    assert found == ({} if installed else {"a.heic": "HEIC", "b.avif": "AVIF"})


def test_links_are_followed_once_and_never_in_circles(tmp_path: Path, outside: Path) -> None:
    draw(tmp_path, *TWO)
    draw(outside, "plum/3.jpg", "plum/4.jpg")
    (tmp_path / "apple" / "home").symlink_to(tmp_path)
    (tmp_path / "again").symlink_to(tmp_path / "pear")
    (tmp_path / "plum").symlink_to(outside / "plum")
    (outside / "plum" / "back").symlink_to(outside)
    (tmp_path / "apple" / "gone.jpg").symlink_to(tmp_path / "nowhere")
    found = read_collection(tmp_path)
    assert by_class(found) == {
        "apple": ["1.jpg"],
        "pear": ["2.jpg"],
        "plum": ["3.jpg", "4.jpg"],
    }
    assert "linked-twice" in codes(found)
    assert left_out(found) == {"gone.jpg": "unreadable"}


def test_what_is_excluded_does_not_count(tmp_path: Path) -> None:
    draw(tmp_path, *TWO, "apple/raw/3.jpg", "apple/4_thumb.jpg", "misc/5.jpg", "pear/6.png")
    patterns = ["raw", "*_thumb.*", "misc/", "pear/*.png"]
    found = read_collection(tmp_path, exclude=patterns)
    assert by_class(found) == {"apple": ["1.jpg"], "pear": ["2.jpg"]}
    assert "excluded" in codes(found)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_a_folder_without_permission_is_told(tmp_path: Path) -> None:
    draw(tmp_path, *TWO, "plum/3.jpg")
    (tmp_path / "plum").chmod(0)
    try:
        assert left_out(read_collection(tmp_path)) == {"plum": "unreadable"}
    finally:
        (tmp_path / "plum").chmod(0o700)


def test_every_format_that_is_read_counts(tmp_path: Path) -> None:
    draw(tmp_path, *TWO)
    (tmp_path / "pear" / "a.webp").write_bytes(encoded(photo(1), "WEBP"))
    (tmp_path / "pear" / "b.PNG").write_bytes(encoded(photo(2), "PNG"))
    assert by_class(read_collection(tmp_path))["pear"] == ["2.jpg", "a.webp", "b.PNG"]
