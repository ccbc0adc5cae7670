"""Hostile archives: nothing but a listed file gets out, and no limit is passed.

What an incident of others was about is named after it.
"""

import gzip
import io
import struct
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from greengrocer.datasets import archives
from greengrocer.datasets.download import download_listed
from greengrocer.errors import DownloadFailed

Files = dict[str, bytes]
Checksums = dict[str, str]
Pack = Callable[..., bytes]


def member(name: str, kind: bytes = tarfile.REGTYPE, **fields: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def tar_with(*members: tarfile.TarInfo, rest: bytes = b"") -> bytes:
    """A .tar.gz of ``members`` without content, and after them those of another."""
    raw = b"".join(info.tobuf(tarfile.GNU_FORMAT) for info in members)
    return gzip.compress(raw + (gzip.decompress(rest) if rest else bytes(1024)))


def read(archive: Path) -> Files:
    return dict(archives.read_archive(archive, "label", lambda name: name))


def test_bundle_extraction_cve_2026_27905_links_devices_and_escaping_names_are_never_written(
    files: Files, listing: Checksums, destination: Path, tmp_path: Path, pack_tar: Pack
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    archive = tmp_path / "archive.tgz"
    archive.write_bytes(
        tar_with(
            member("LICENSE", tarfile.SYMTYPE, linkname="/etc/passwd"),
            member("README.md", tarfile.LNKTYPE, linkname="/etc/passwd"),
            member("dataset", tarfile.SYMTYPE, linkname=str(outside)),
            member("dataset/train.txt", tarfile.CHRTYPE, devmajor=1, devminor=3),
            member("dataset/test.txt", tarfile.FIFOTYPE),
            member("../outside/escaped"),
            member(f"{outside}/escaped"),
            member("../LICENSE"),
            rest=pack_tar(files),
        )
    )

    download_listed(destination, str(archive), listing)

    assert list(outside.iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["archive.tgz", "home", "outside"]
    assert list(destination.parent.iterdir()) == [destination]
    for path, content in files.items():
        assert not (destination / path).is_symlink()
        assert (destination / path).read_bytes() == content


def test_bundle_extraction_cve_2026_27905_a_listed_file_under_an_escaping_name_is_missing(
    listing: Checksums, destination: Path, tmp_path: Path, pack: Pack, files: Files
) -> None:
    archive = tmp_path / "archive"
    archive.write_bytes(pack(files, "../"))

    with pytest.raises(DownloadFailed, match=r"LICENSE \(and 6 more listed files\) is missing"):
        download_listed(destination, str(archive), listing)


def test_bundle_extraction_cve_2026_27905_a_link_in_a_zip_is_no_file(tmp_path: Path) -> None:
    archive = tmp_path / "archive.zip"
    link = zipfile.ZipInfo("LICENSE")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr(link, "/etc/passwd")
        packed.writestr("README.md", "read")

    assert read(archive) == {"README.md": b"read"}


def test_bundle_extraction_cve_2026_27905_a_member_over_the_limit_is_refused_by_name(
    tmp_path: Path, pack: Pack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MEMBER_LIMIT", 1000)
    archive = tmp_path / "archive"
    archive.write_bytes(pack({"fits": bytes(1000)}, ""))
    assert read(archive) == {"fits": bytes(1000)}
    archive.write_bytes(pack({"bomb": bytes(1001)}, ""))

    with pytest.raises(DownloadFailed, match="bomb in label is refused: 1001 bytes"):
        read(archive)


def test_bundle_extraction_cve_2026_27905_all_members_together_are_bounded(
    tmp_path: Path, pack: Pack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "TOTAL_LIMIT", 100_000)
    archive = tmp_path / "archive"
    archive.write_bytes(pack({f"file{number}": bytes(10_000) for number in range(11)}, ""))

    with pytest.raises(DownloadFailed, match="unpacks to more than 100000 bytes"):
        read(archive)


def test_bundle_extraction_cve_2026_27905_a_member_that_unpacks_to_more_than_it_declares_is_refused(
    tmp_path: Path,
) -> None:
    archive = tmp_path / "archive.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("bomb", bytes(77_777))
    honest = archive.read_bytes()
    lie = honest.replace(struct.pack("<I", 77_777), struct.pack("<I", 7))
    assert lie != honest
    archive.write_bytes(lie)

    with pytest.raises(DownloadFailed, match="label is damaged"):
        read(archive)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_bundle_extraction_cve_2026_27905_a_zip_packed_in_an_unbounded_way_is_refused(
    tmp_path: Path, method: int
) -> None:
    archive = tmp_path / "archive.zip"
    with zipfile.ZipFile(archive, "w", method) as packed:
        packed.writestr("bomb", bytes(100))

    with pytest.raises(DownloadFailed, match="packed otherwise than by deflate"):
        read(archive)


def test_a_zip_with_too_many_members_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "ZIP_READ_LIMIT", 10_000)
    archive = tmp_path / "archive.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for number in range(1000):
            packed.writestr(f"{number}", b"")

    with pytest.raises(DownloadFailed, match="lists too many members"):
        read(archive)


def test_too_large_a_header_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "archive.tgz"
    with tarfile.open(archive, "w:gz", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(member("file", pax_headers={"comment": "x" * 2**20}))

    with pytest.raises(DownloadFailed, match="label is refused: it has a header of"):
        read(archive)


def test_a_negative_member_size_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "archive.tgz"
    archive.write_bytes(tar_with(member("one"), member("two", size=-512)))

    with pytest.raises(DownloadFailed, match="its members overlap"):
        read(archive)


def test_endlessly_nested_headers_are_refused(tmp_path: Path) -> None:
    archive = tmp_path / "archive.tgz"
    archive.write_bytes(tar_with(*[member("x", tarfile.XHDTYPE)] * 5000))

    with pytest.raises(DownloadFailed, match="label is damaged"):
        read(archive)


SPARSE = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "100"}


@pytest.mark.parametrize("form", ["1.0", "0.1", "old"])
def test_the_map_of_a_sparse_file_is_not_read(tmp_path: Path, form: str) -> None:
    pairs = 2**20
    if form == "1.0":
        body = b"%d\n" % pairs + b"0\n" * (2 * pairs)
        info = member("a.jpg", size=len(body), pax_headers=SPARSE)
        content = info.tobuf(tarfile.PAX_FORMAT) + body
    elif form == "0.1":
        info = member("a.jpg", pax_headers={"GNU.sparse.map": "0," * (2 * pairs) + "0"})
        content = info.tobuf(tarfile.PAX_FORMAT)
    else:
        header = bytearray(member("a.jpg", tarfile.GNUTYPE_SPARSE).tobuf(tarfile.GNU_FORMAT))
        header[482] = 1  # the map goes on in the next block
        header[148:156] = b"        "
        header[148:156] = b"%06o\0 " % sum(header)
        content = bytes(header) + (b"00000000001\0" * 42 + b"\1" * 8) * (pairs // 42)
    archive = tmp_path / "archive.tgz"
    archive.write_bytes(gzip.compress(content + bytes(2**13)))
    tracemalloc.start()
    try:
        with pytest.raises(DownloadFailed, match=r"refused: .*header"):
            read(archive)
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()


def test_a_small_sparse_file_is_refused_by_name(tmp_path: Path) -> None:
    archive = tmp_path / "archive.tgz"
    info = member("a.jpg", size=512, pax_headers=SPARSE)
    archive.write_bytes(
        gzip.compress(info.tobuf(tarfile.PAX_FORMAT) + b"0\n".ljust(512, b"\0") + bytes(1024))
    )
    with pytest.raises(DownloadFailed, match=r"label is refused: a\.jpg is a sparse file"):
        read(archive)


def test_many_global_headers_are_refused(tmp_path: Path) -> None:
    def archive_with(names: int) -> Path:
        archive = tmp_path / f"{names}.tgz"
        pax = {f"name{i}": "value" for i in range(names)}
        with tarfile.open(archive, "w:gz", format=tarfile.PAX_FORMAT, pax_headers=pax) as tar:
            tar.addfile(member("a.jpg"))
        return archive

    assert read(archive_with(100)) == {"a.jpg": b""}
    with pytest.raises(DownloadFailed, match="global headers have over 100 names"):
        read(archive_with(101))


def test_a_truncated_archive_is_damaged(tmp_path: Path, pack: Pack, files: Files) -> None:
    archive = tmp_path / "archive"
    whole = pack(files)
    archive.write_bytes(whole[: len(whole) // 2])

    with pytest.raises(DownloadFailed, match=r"label is damaged \(.+\): fetch it again"):
        read(archive)


def test_a_read_error_is_not_reported_as_a_damaged_archive(tmp_path: Path) -> None:
    with pytest.raises(DownloadFailed, match="cannot read label: Is a directory"):
        read(tmp_path)


def test_duplicate_members_are_yielded(tmp_path: Path) -> None:
    archive = tmp_path / "archive.tgz"
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for content in (b"one", b"two"):
            tar.addfile(member("file", size=3), io.BytesIO(content))
    archive.write_bytes(packed.getvalue())

    pairs = list(archives.read_archive(archive, "label", lambda name: name))
    assert pairs == [("file", b"one"), ("file", b"two")]


@pytest.mark.parametrize("kind", ["zip", "tgz"])
def test_a_large_file_is_streamed(tmp_path: Path, kind: str) -> None:
    """What is held at a time does not grow with the file."""
    size, archive = 1 << 24, tmp_path / f"a.{kind}"
    (tmp_path / "large").write_bytes(bytes(size))
    if kind == "zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
            packed.write(tmp_path / "large", "large")
    else:
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(tmp_path / "large", "large")
    tracemalloc.start()
    try:
        for name, chunks in archives.stream_archive(archive, "label", lambda name: name):
            assert (name, sum(map(len, chunks))) == ("large", size)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < size / 2


def test_damage_that_only_the_checksum_of_a_tar_shows_is_reported(
    tmp_path: Path, files: Files, pack_tar: Pack
) -> None:
    archive = tmp_path / "a.tgz"
    archive.write_bytes(pack_tar(files).replace(b"test kiwi", b"test kiwo"))
    with pytest.raises(DownloadFailed, match=r"label is damaged \(CRC check failed"):
        read(archive)


def test_damage_within_a_file_is_reported_as_such(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("1.jpg", b"some content")
    archive.write_bytes(archive.read_bytes().replace(b"some content", b"same content"))
    for _, chunks in archives.stream_archive(archive, "label", lambda name: name):
        with pytest.raises(DownloadFailed, match=r"label is damaged \(Bad CRC-32"):
            list(chunks)
