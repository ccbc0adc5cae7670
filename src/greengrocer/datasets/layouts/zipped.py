"""A zip or .tar.gz of labelled images, unpacked once into the person's cache."""

import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from greengrocer.datasets.archives import DamagedMember, Limits, stream_archive
from greengrocer.datasets.cache_folder import own_cache
from greengrocer.datasets.layouts.collection import LeftOut
from greengrocer.datasets.layouts.names import is_junk
from greengrocer.datasets.progress import files_bar
from greengrocer.errors import DatasetUnusable, DownloadFailed
from greengrocer.regular_files import MAX_IMAGE_BYTES, open_regular
from greengrocer.safe_text import one_line

SUFFIXES = (".zip", ".tar.gz", ".tgz")
GROWTH = 20  # times its own size that an archive may unpack to; photos do not shrink
ALLOWANCE = 2**28  # bytes that any archive may unpack to
LIST_BYTES = 2**26  # of a zip's list of members: about half a million
UNFINISHED = ".unfinished-"
OURS = re.compile(rf"[0-9a-f]{{64}}|{re.escape(UNFINISHED)}\w+")
UNFINISHED_SECONDS = 24 * 3600
KEPT_SECONDS = 30 * 24 * 3600  # since an archive was last read
DEEPEST = 64  # folders, as in a scan: deeper ones could not be removed again
MOST_FILES = 200_000
UNTOUCHED = 2**30  # bytes of the disk that stay free
RECORD = ".left-out.json"  # a list of names and reasons; no member has a hidden name
MAX_SHOWN = 200  # characters of a name in it
# Why a member is left out, beside what ``archives`` says.
DAMAGED, OUTSIDE = "it is damaged", "its path leads out of the archive"
TOO_DEEP, NAMELESS = "its folder lies too deep", "no system has files of such a name"
FORMAT = b"2"  # of the folder: what was unpacked in another one is unpacked again


class Unpacked(NamedTuple):
    """The folder with the files of an archive, and what of it was left out."""

    folder: Path
    left_out: tuple[LeftOut, ...]


def is_archive(path: Path) -> bool:
    """Whether ``path`` is named as an archive is."""
    return path.name.lower().endswith(SUFFIXES) and not path.is_dir()


def unpacked(archive: Path) -> Unpacked:
    """The files of ``archive``; it is unpacked unless it was before.

    Raises DatasetUnusable where it is damaged, too large or cannot be written, and UsageError where
    the cache is another user's.
    """
    try:
        with open_regular(archive) as file:
            digest = hashlib.file_digest(file, "sha256")
        digest.update(FORMAT)
        home = own_cache("unpacked")
        target = home / digest.hexdigest()
        if not target.is_dir():
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            _remove_old(home)
            _unpack(archive, home, target)
        os.utime(target)  # it was used now
        told = json.loads((target / RECORD).read_text(encoding="utf-8"))
    except DownloadFailed as error:
        again = ": fetch it again", ": pack it again"
        raise DatasetUnusable(str(error).replace(*again)) from error
    except OSError as error:
        elsewhere = error.filename and error.filename != str(archive)
        where = f" ({error.filename})" if elsewhere else ""
        raise DatasetUnusable(f"{archive}: {error.strerror or error}{where}") from error
    left_out = tuple(LeftOut(target / name, why, "not-unpacked") for name, why in told)
    return Unpacked(target, left_out)


@contextmanager
def refusals_name(source: Path, place: Path) -> Iterator[None]:
    """Let DatasetUnusable name ``source``, an archive, and not ``place``, where it is unpacked."""
    try:
        yield
    except DatasetUnusable as error:
        raise DatasetUnusable(str(error).replace(str(place), str(source))) from error


def _remove_old(home: Path) -> None:
    """Remove what was not read for a month, and what a killed process left unfinished.

    Only folders that ``unpacked`` has made, by their names; a link is not followed.
    """
    if home.is_symlink():
        return
    for each in home.iterdir():
        if each.is_symlink() or not OURS.fullmatch(each.name):
            continue
        kept = UNFINISHED_SECONDS if each.name.startswith(UNFINISHED) else KEPT_SECONDS
        with suppress(FileNotFoundError):  # another process may be doing the same
            if time.time() - each.stat().st_mtime > kept:
                shutil.rmtree(each, ignore_errors=True)


def _unpack(archive: Path, home: Path, target: Path) -> None:
    room = max(shutil.disk_usage(home).free - UNTOUCHED, 0)
    total = min(ALLOWANCE + GROWTH * archive.stat().st_size, room)
    limits = Limits(member=MAX_IMAGE_BYTES, total=total, listing=LIST_BYTES)
    unfinished = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=home))
    members = _Members(archive)
    try:
        with files_bar(f"unpacking {archive.name}", None) as advance:
            for name, chunks in stream_archive(
                archive, str(archive), members.wanted, limits, members.leave_out
            ):
                path = unfinished / name
                path.parent.mkdir(parents=True, exist_ok=True)
                try:
                    advance(_write(path, chunks))
                except DamagedMember:
                    path.unlink()
                    members.leave_out(name, DAMAGED)
        if not any(path.is_file() for path in unfinished.rglob("*")):
            first = [f"nothing to unpack, but {name}: {why}" for name, why in members.left_out[:1]]
            raise DatasetUnusable(f"{archive} holds {''.join(first) or 'no files'}")
        record = json.dumps(members.left_out, ensure_ascii=False)
        (unfinished / RECORD).write_text(record, encoding="utf-8")
        try:
            os.replace(unfinished, target)
        except OSError:
            if not target.is_dir():  # or another run was first
                raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _write(path: Path, chunks: Iterable[bytes]) -> int:
    """Write ``chunks`` to ``path``; returns their size in bytes."""
    with path.open("wb") as file:
        return sum(file.write(chunk) for chunk in chunks)


class _Members:
    """Which files of an archive count, and what is left out; hidden ones are passed over."""

    def __init__(self, archive: Path) -> None:
        self.left_out: list[tuple[str, str]] = []  # names, and why
        self._archive = archive
        self._count = 0

    def wanted(self, name: str) -> str | None:
        """The path below the target for a member, or None where it does not count.

        Raises DownloadFailed for one too many.
        """
        path = PurePosixPath(name.replace("\\", "/"))
        outside = path.is_absolute() or ".." in path.parts or ":" in "".join(path.parts[:1])
        if not outside and any(is_junk(part) for part in path.parts):
            return None
        self._count += 1
        if self._count > MOST_FILES:
            raise DownloadFailed(f"{self._archive} holds over {MOST_FILES:,} files, the limit")
        if outside:
            self.leave_out(name, OUTSIDE)
        elif len(path.parts) > DEEPEST:
            self.leave_out(name, TOO_DEEP)
        elif not path.parts or "\0" in name:
            self.leave_out(name, NAMELESS)
        else:
            return str(path)
        return None

    def leave_out(self, name: str, why: str) -> None:
        """Keep in mind that a member does not count."""
        self.left_out.append((one_line(name, MAX_SHOWN), why))
