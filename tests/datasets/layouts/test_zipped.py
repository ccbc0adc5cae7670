import io
import os
import shutil
import stat
import tarfile
import time
import zipfile
from pathlib import Path

import pytest

from greengrocer.datachecks.problems import find_problems
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
    times = {path: path.stat().st_mtime_ns for path in cache.rglob("*.jpg")}
    assert len(times) == 3
    assert read_collection(archive) == found
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*.jpg")} == times


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


def flagged(archive: Path, flags: int) -> None:
    """Set bits of the flags of every member, in both of the places that have them."""
    data = bytearray(archive.read_bytes())
    for signature, place in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = data.find(signature)
        while at >= 0:
            data[at + place] |= flags
            at = data.find(signature, at + 4)
    archive.write_bytes(data)


def refusal(archive: Path) -> str:
    with pytest.raises(DatasetUnusable) as refused:
        read_collection(archive)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_an_encrypted_zip_is_refused_with_what_to_do(tmp_path: Path) -> None:
    archive = packed(tmp_path, {"a/1.jpg": jpeg(1), "b/2.jpg": jpeg(2)})
    flagged(archive, 1)
    assert refusal(archive).endswith(
        "is encrypted: unpack it with its password, and name the folder"
    )


def test_nothing_is_written_outside_whatever_the_names_are(tmp_path: Path, cache: Path) -> None:
    good = {"a/1.jpg": jpeg(1), "b/2.jpg": jpeg(2)}
    hostile = ["../x.jpg", "/x.jpg", "a/../../x.jpg", "..\\x.jpg", "C:\\x.jpg", "C:/x.jpg"]
    before = {path for path in tmp_path.rglob("*") if cache not in path.parents}
    archive = packed(tmp_path, good | {name: jpeg(3) for name in hostile})
    assert by_class(read_collection(archive)) == {"a": ["1.jpg"], "b": ["2.jpg"]}
    after = {path for path in tmp_path.rglob("*") if cache not in path.parents}
    assert after - before <= {archive, cache}


def told(archive: Path, *todo: str) -> tuple[str, ...]:
    """What a check says of files that are not unpacked, each time that the archive is read.

    ``todo`` are the first words of what it says to do, for each kind of cause.
    """
    first, again = read_collection(archive), read_collection(archive)
    assert first == again
    (problem,) = (each for each in find_problems(again, ()) if each.code == "not-unpacked")
    assert problem.text.startswith(f"{len(problem.items)} path")
    for words, said in zip(todo, str(problem.todo).split("; "), strict=True):
        assert said.startswith(words)
    return problem.items


def test_what_is_not_unpacked_of_a_tar_is_told(tmp_path: Path) -> None:
    archive = tmp_path / "photos.tar.gz"
    kinds = {
        "a/link.jpg": tarfile.SYMTYPE,
        "b/hard.jpg": tarfile.LNKTYPE,
        "b/pipe.jpg": tarfile.FIFOTYPE,
        "b": tarfile.DIRTYPE,
        ".hidden": tarfile.SYMTYPE,
    }
    with tarfile.open(archive, "w:gz") as tar:
        for name in ("a/1.jpg", "b/2.jpg", "../out.jpg", "/etc/3.jpg", "__MACOSX/._1.jpg"):
            content = jpeg(len(name))
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for name, kind in kinds.items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "a/1.jpg"
            tar.addfile(member)
    assert told(archive, "pack the folder", "pack it without links", "remove what is") == (
        "../out.jpg: its path leads out of the archive",
        "/etc/3.jpg: its path leads out of the archive",
        "a/link.jpg: a symbolic link",
        "b/hard.jpg: a hard link",
        "b/pipe.jpg: not a regular file",
    )


@pytest.mark.parametrize(
    ("at", "damage"),
    [
        (0, b"QK"),  # the signature of its local header
        (30, b"b/9"),  # its name, which the list of members has otherwise
        (28, b"\xff\xff"),  # a length that leads to another file
        (37, b"comment"),  # its content
    ],
)
def test_a_damaged_file_in_a_zip_is_left_out_and_told(
    tmp_path: Path, at: int, damage: bytes
) -> None:
    archive = tmp_path / "photos.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name, content in (("a/1.jpg", jpeg(1)), ("a/2.jpg", b"content"), ("b/3", jpeg(3))):
            file.writestr(name, content)
        begin = file.getinfo("a/2.jpg").header_offset
    data = bytearray(archive.read_bytes())
    data[begin + at : begin + at + len(damage)] = damage
    archive.write_bytes(data)
    assert by_class(read_collection(archive)) == {"a": ["1.jpg"], "b": ["3"]}
    assert told(archive, "replace the damaged file") == ("a/2.jpg: it is damaged",)


def test_an_archive_of_links_alone_is_refused_with_one_of_them(tmp_path: Path) -> None:
    archive = tmp_path / "photos.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        member = tarfile.TarInfo("a/1.jpg")
        member.type, member.linkname = tarfile.SYMTYPE, "2.jpg"
        tar.addfile(member)
    assert refusal(archive).endswith("holds nothing to unpack, but a/1.jpg: a symbolic link")


def test_links_and_devices_in_a_zip_do_not_count(tmp_path: Path, cache: Path) -> None:
    archive = packed(tmp_path, {"a/1.jpg": jpeg(1), "b/2.jpg": jpeg(2)})
    with zipfile.ZipFile(archive, "a") as file:
        for name, kind in (("a/link.jpg", stat.S_IFLNK), ("b", stat.S_IFLNK), ("c", stat.S_IFCHR)):
            member = zipfile.ZipInfo(name)
            member.external_attr = (kind | 0o777) << 16
            file.writestr(member, "/etc/passwd")
    assert by_class(read_collection(archive)) == {"a": ["1.jpg"], "b": ["2.jpg"]}
    assert not [path for path in cache.rglob("*") if path.is_symlink()]
    link, other = "a symbolic link", "not a regular file"
    assert told(archive, "pack it without links", "remove what is") == (
        f"a/link.jpg: {link}",
        f"b: {link}",
        f"c: {other}",
    )


def test_a_member_that_is_larger_than_it_claims_is_refused(tmp_path: Path, cache: Path) -> None:
    archive = packed(tmp_path, {"a/1.jpg": bytes(100_000)})
    data = bytearray(archive.read_bytes())
    at = data.find(b"PK\1\2")
    data[at + 24 : at + 28] = (10).to_bytes(4, "little")
    archive.write_bytes(data)
    assert "is damaged" in refusal(archive)
    assert not [path for path in cache.rglob("*") if path.is_file()]


@pytest.mark.parametrize("allowance", [0, 10**9])
def test_members_that_share_their_content_are_not_unpacked(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, allowance: int
) -> None:
    """As the bombs do whose list names the same bytes a thousand times."""
    monkeypatch.setattr(zipped, "ALLOWANCE", allowance)
    monkeypatch.setattr(zipped, "GROWTH", 1)
    archive = packed(tmp_path, {f"a/{k:03}.jpg": bytes(1000) for k in range(300)})
    data = bytearray(archive.read_bytes())
    at = data.find(b"PK\1\2")
    while at >= 0:
        data[at + 42 : at + 46] = bytes(4)
        at = data.find(b"PK\1\2", at + 4)
    archive.write_bytes(data)
    if allowance:
        damaged = tuple(f"a/{k:03}.jpg: it is damaged" for k in range(1, 300))
        assert told(archive, "replace the damaged file") == damaged
        assert len([path for path in cache.rglob("*") if path.suffix == ".jpg"]) == 1
    else:  # each counts as it is declared
        assert "is refused: it unpacks to more than" in refusal(archive)


def test_a_refusal_names_the_zip(tmp_path: Path, cache: Path) -> None:
    archive = packed(tmp_path, {"a/notes.txt": b"x"})
    said = refusal(archive)
    assert str(archive) in said
    assert str(cache) not in said


def test_names_in_utf_8_are_read_though_the_zip_does_not_say_so(tmp_path: Path) -> None:
    """As the archiver of macOS writes them."""
    archive = packed(tmp_path, {"Ñame/1.jpg": jpeg(1), "leek/2.jpg": jpeg(2)})
    data = bytearray(archive.read_bytes())
    for signature, place in ((b"PK\3\4", 7), (b"PK\1\2", 9)):
        at = data.find(signature)
        while at >= 0:
            data[at + place] &= ~0x08
            at = data.find(signature, at + 4)
    archive.write_bytes(data)
    assert by_class(read_collection(archive)) == {"leek": ["2.jpg"], "Ñame": ["1.jpg"]}


def test_names_in_another_encoding_are_read_somehow(tmp_path: Path) -> None:
    archive = packed(tmp_path, {"Xame/1.jpg": jpeg(1), "leek/2.jpg": jpeg(2)})
    archive.write_bytes(archive.read_bytes().replace(b"Xame", b"\xa5ame"))
    assert sorted(by_class(read_collection(archive))) == ["leek", "Ñame"]  # code page 437


def test_names_that_cannot_be_shown_are_refused_in_one_line(tmp_path: Path) -> None:
    archive = packed(tmp_path, {"a\x1b[31m\nb/1.jpg": jpeg(1), "c/2.jpg": jpeg(2)})
    said = refusal(archive)
    assert "\x1b" not in said


def test_a_folder_where_a_file_is_is_refused(tmp_path: Path, cache: Path) -> None:
    archive = packed(tmp_path, {"a": b"x", "a/1.jpg": jpeg(1)})
    assert "exists" in refusal(archive) or "directory" in refusal(archive)
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_what_was_not_read_for_a_month_is_removed(tmp_path: Path, cache: Path) -> None:
    old = read_collection(packed(tmp_path, {"a/1.jpg": jpeg(1), "b/2.jpg": jpeg(2)})).root
    home = old.parent
    assert cache in home.parents
    (home / ".unfinished-x" / "a").mkdir(parents=True)
    month = time.time() - 31 * 24 * 3600
    for path in (old, home / ".unfinished-x"):
        os.utime(path, (month, month))
    newer = packed(tmp_path, {"a/1.jpg": jpeg(3), "b/2.jpg": jpeg(4)})
    new = read_collection(newer).root
    assert list(home.iterdir()) == [new]
    os.utime(new, (month, month))
    read_collection(newer)
    assert time.time() - new.stat().st_mtime < 3600  # it was read, so it stays


@pytest.mark.usefixtures("cache")
def test_only_what_was_unpacked_here_is_removed(tmp_path: Path) -> None:
    old = read_collection(packed(tmp_path, {"a/1.jpg": jpeg(1), "b/2.jpg": jpeg(2)})).root
    home, mine = old.parent, tmp_path / "mine"
    (mine / "thesis").mkdir(parents=True)
    (home / "thesis").mkdir()
    (home / ("0" * 64)).symlink_to(mine)
    month = time.time() - 31 * 24 * 3600
    for path in (mine / "thesis", mine, home / "thesis"):
        os.utime(path, (month, month))
    read_collection(packed(tmp_path, {"a/1.jpg": jpeg(3), "b/2.jpg": jpeg(4)}))
    assert (mine / "thesis").is_dir()
    assert (home / "thesis").is_dir()
    shutil.rmtree(home)
    home.symlink_to(mine)
    read_collection(packed(tmp_path, {"a/1.jpg": jpeg(5), "b/2.jpg": jpeg(6)}))
    assert (mine / "thesis").is_dir()


def test_members_deeper_than_a_scan_goes_do_not_count(tmp_path: Path) -> None:
    deep = "/".join(["x"] * 200) + "/1.jpg"
    found = read_collection(packed(tmp_path, {"a/1.jpg": jpeg(1), "b/2.jpg": jpeg(2), deep: b""}))
    assert not (found.root / "x").exists()


def test_an_archive_of_too_many_files_is_refused(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("greengrocer.datasets.layouts.zipped.MOST_FILES", 2)
    files = {f"a/{number}.jpg": jpeg(number) for number in range(3)}
    with pytest.raises(DatasetUnusable, match="holds over 2 files, the limit"):
        read_collection(packed(tmp_path, files))
    assert not any((cache / "greengrocer" / "unpacked").iterdir())
