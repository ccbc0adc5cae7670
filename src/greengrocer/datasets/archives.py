"""Read chosen files of a .tar.gz or .zip archive that may be hostile, within bounds.

Nothing is unpacked here: a caller gets the content of regular files, under names of its own
choosing, and writes what it has checked. ``tarfile``'s data filter and pooch, which unpacks by
``extractall``, keep paths inside a directory, but bound neither bytes nor headers.
"""

import gzip
import io
import stat
import tarfile
import zipfile
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from greengrocer.errors import DownloadFailed
from greengrocer.regular_files import open_regular
from greengrocer.safe_text import words_of

MEMBER_LIMIT = 64 * 2**20  # bytes of one file; the data set's largest has a fifth of a megabyte
TOTAL_LIMIT = 2**30  # bytes unpacked, of all files together
TAR_READ_LIMIT = 2**16  # bytes of one read, and so of one extended header
HEADERS_LIMIT = 2**18  # bytes of all headers of a tar's member, a sparse file's map among them
GLOBALS_LIMIT = 100  # names in a tar's global headers, which are kept for all members
ZIP_READ_LIMIT = 4 * 2**20  # bytes of one read, and so of the central directory
CHUNK = 2**16
LINK, HARD_LINK, OTHER = "a symbolic link", "a hard link", "not a regular file"
ENCRYPTED, UTF8 = 0x1, 0x800  # flags of a zip's member


@dataclass(frozen=True)
class Limits:
    """Bounds, in bytes, on one file, on all of them together, and on a zip's list of members."""

    member: int
    total: int
    listing: int


class DamagedMember(DownloadFailed):
    """The content or the local header of one file is damaged; those after it can be read."""


Choose = Callable[[str], str | None]
LeaveOut = Callable[[str, str], None]  # the name of a member, and why it cannot be read
Files = Generator[tuple[str, bytes], None, None]
Streams = Generator[tuple[str, Iterator[bytes]], None, None]


def read_archive(archive: Path, label: str, choose: Choose, limits: Limits | None = None) -> Files:
    """Each regular file for whose name ``choose`` gives a path: that path, and the content."""
    for path, chunks in stream_archive(archive, label, choose, limits):
        yield path, b"".join(chunks)


def stream_archive(
    archive: Path,
    label: str,
    choose: Choose,
    limits: Limits | None = None,
    leave_out: LeaveOut = lambda *_: None,
) -> Streams:
    """The same with the content in small pieces, to be read before the next file is asked for.

    ``leave_out`` is told of what was chosen, but is a link, a pipe or a device.

    Raises DownloadFailed, naming ``label``, where ``archive`` is damaged, no archive at all, or
    holds more than the limits allow: by default those of the data set. Reading the content of a
    zip's member raises DamagedMember where that alone is damaged.
    """
    limits = limits or Limits(MEMBER_LIMIT, TOTAL_LIMIT, ZIP_READ_LIMIT)
    with _damage_as_download_failed(label), open_regular(archive) as file:
        magic = file.read(2)
        file.seek(0)
        if magic == b"\x1f\x8b":
            yield from _read_tar(file, label, choose, limits, leave_out)
        elif magic == b"PK":
            yield from _read_zip(file, label, choose, limits, leave_out)
        else:
            raise DownloadFailed(f"{label} is neither a .tar.gz nor a .zip archive")


@contextmanager
def _damage_as_download_failed(
    label: str, damage: type[DownloadFailed] = DownloadFailed
) -> Iterator[None]:
    try:
        yield
    except DownloadFailed:
        raise
    except Exception as error:
        # The standard library's readers raise nearly anything at a hostile archive.
        if isinstance(error, OSError) and error.errno:
            raise DownloadFailed(f"cannot read {label}: {error.strerror}") from error
        reason = words_of(error)
        raise damage(f"{label} is damaged ({reason}): fetch it again") from error


def _read_tar(
    file: IO[bytes], label: str, choose: Choose, limits: Limits, leave_out: LeaveOut
) -> Streams:
    with (
        gzip.GzipFile(fileobj=file) as unpacked,
        _Forward(unpacked, label, limits.total) as forward,
        tarfile.open(fileobj=forward, mode="r:") as tar,
    ):
        while True:
            with forward.headers():
                member = tar.next()
            if member is None:
                forward.finish()
                return
            # Else it keeps every member's headers, which a hostile archive makes large.
            tar.members.clear()  # type: ignore[attr-defined]
            if len(tar.pax_headers) > GLOBALS_LIMIT:
                raise DownloadFailed(
                    f"{label} is refused: its global headers have over {GLOBALS_LIMIT} names"
                )
            path = None if member.isdir() else choose(member.name)
            if path is None:
                continue
            if not member.isreg():
                leave_out(
                    member.name,
                    LINK if member.issym() else HARD_LINK if member.islnk() else OTHER,
                )
                continue
            # Its holes take no room in the archive, and all of it on the disk.
            if member.issparse():
                raise DownloadFailed(f"{label} is refused: {path} is a sparse file")
            _check_size(member.size, path, label, limits.member)
            content = tar.extractfile(member)
            if content is not None:
                with content:
                    yield path, _chunks(content, label)


def _read_zip(
    file: IO[bytes], label: str, choose: Choose, limits: Limits, leave_out: LeaveOut
) -> Streams:
    total = 0
    with zipfile.ZipFile(_Sparing(file, label, limits.listing)) as packed:
        for member in packed.infolist():
            mode = member.external_attr >> 16  # 0 in archives made elsewhere than on Unix
            path = None if member.is_dir() or stat.S_ISDIR(mode) else choose(_name(member))
            if path is None:
                continue
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
                leave_out(_name(member), LINK if stat.S_ISLNK(mode) else OTHER)
                continue
            if member.flag_bits & ENCRYPTED:
                raise DownloadFailed(
                    f"{label} is encrypted: unpack it with its password, and name the folder"
                )
            _check_size(member.file_size, path, label, limits.member)
            # The other methods unpack a whole chunk at once, however large it becomes.
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise DownloadFailed(f"{path} in {label} is packed otherwise than by deflate")
            total += member.file_size
            if total > limits.total:
                raise _too_large(label, limits.total)
            yield path, _unzipped(packed, member, label)


def _name(member: zipfile.ZipInfo) -> str:
    """The member's name; where the archive does not say that it is UTF-8, it mostly is."""
    if member.flag_bits & UTF8:
        return member.filename
    with suppress(UnicodeError):
        return member.filename.encode("cp437").decode("utf-8")
    return member.filename


def _unzipped(packed: zipfile.ZipFile, member: zipfile.ZipInfo, label: str) -> Iterator[bytes]:
    # Opening it reads its local header, which may be damaged as its content may.
    with _damage_as_download_failed(label, DamagedMember), packed.open(member) as content:
        yield from _chunks(content, label, DamagedMember)


def _chunks(
    content: IO[bytes], label: str, damage: type[DownloadFailed] = DownloadFailed
) -> Iterator[bytes]:
    # Both readers end at the declared size, which has been checked.
    with _damage_as_download_failed(label, damage):
        while chunk := content.read(CHUNK):
            yield chunk


def _check_size(size: int, path: str, label: str, limit: int) -> None:
    if size > limit:
        raise DownloadFailed(
            f"{path} in {label} is refused: {size} bytes are more than a file may have, {limit}"
        )


def _too_large(label: str, limit: int) -> DownloadFailed:
    return DownloadFailed(f"{label} is refused: it unpacks to more than {limit} bytes")


class _Forward(io.RawIOBase):
    """An unpacked tar that is read forwards, in small reads, and not beyond the total limit.

    A header that claims a size below zero would send tarfile backwards for ever, and one that
    claims gigabytes would be read at once.
    """

    def __init__(self, unpacked: gzip.GzipFile, label: str, limit: int) -> None:
        self._limit = limit
        self._unpacked = unpacked
        self._label = label
        self._position = 0
        # Bytes of a member's headers while they are read; tarfile.open reads the first ones.
        self._headers: int | None = 0

    @contextmanager
    def headers(self) -> Iterator[None]:
        """Bound what is read in here: the headers of one member.

        Else tarfile reads the map of a sparse file whole, as a list of numbers.
        """
        self._headers = 0
        try:
            yield
        finally:
            self._headers = None

    def read(self, size: int = -1, /) -> bytes:
        if not 0 <= size <= TAR_READ_LIMIT:
            raise DownloadFailed(f"{self._label} is refused: it has a header of {size} bytes")
        if self._headers is not None:
            self._headers += size
            if self._headers > HEADERS_LIMIT:
                raise DownloadFailed(
                    f"{self._label} is refused: a file in it has over {HEADERS_LIMIT} bytes of "
                    "headers, as a sparse file may have"
                )
        return self._take(size)

    def finish(self) -> None:
        """Read what comes after the last member: gzip's checksum of everything is at the end."""
        while self._take(CHUNK):
            pass

    def _take(self, size: int) -> bytes:
        data = self._unpacked.read(size)
        self._position += len(data)
        if self._position > self._limit:
            raise _too_large(self._label, self._limit)
        return data

    def seek(self, position: int, whence: int = io.SEEK_SET, /) -> int:
        if whence != io.SEEK_SET or position < self._position:
            raise DownloadFailed(f"{self._label} is refused: its members overlap")
        while self._position < position:
            if not self._take(min(CHUNK, position - self._position)):
                break
        return self._position

    def tell(self) -> int:
        return self._position


class _Sparing(io.RawIOBase):
    """A zip file that refuses large reads: zipfile reads the whole list of members in one."""

    def __init__(self, file: IO[bytes], label: str, limit: int) -> None:
        self._file = file
        self._label = label
        self._limit = limit

    def read(self, size: int = -1, /) -> bytes:
        data = self._file.read(self._limit + 1 if size < 0 else min(size, self._limit + 1))
        if len(data) > self._limit:
            raise DownloadFailed(f"{self._label} is refused: it lists too many members")
        return data

    def seek(self, position: int, whence: int = io.SEEK_SET, /) -> int:
        return self._file.seek(position, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True
