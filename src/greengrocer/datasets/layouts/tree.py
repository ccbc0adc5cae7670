"""Folders and the image files in them: what counts, each place once, in order of names."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from greengrocer.datasets.archives import OTHER
from greengrocer.datasets.layouts.collection import LeftOut, Note
from greengrocer.datasets.layouts.names import (
    FOREIGN,
    JPEG_SUFFIXES,
    is_excluded,
    is_junk,
    one_form,
)
from greengrocer.errors import DatasetUnusable
from greengrocer.imaging.formats import foreign_format, is_supported, suffixes
from greengrocer.regular_files import open_regular

FIRST_BYTES = 32  # that tell a format
MAX_DEPTH = 64  # folders within folders
FOLDER_TOO_DEEP = "the folder lies too deep"


@dataclass
class Folder:
    """A folder: its image files and the folders in it. ``name`` is in the form NFC."""

    path: Path
    name: str
    files: list[Path] = field(default_factory=list)
    folders: list["Folder"] = field(default_factory=list)
    links: list[str] = field(default_factory=list)  # to folders, not yet followed
    count: int = 0  # images in it and below

    def below(self) -> Iterator[Path]:
        """The images in it and in all folders below."""
        yield from self.files
        for folder in self.folders:
            yield from folder.below()

    def filled(self) -> list["Folder"]:
        """The folders in it that have images."""
        return [folder for folder in self.folders if folder.count]


@dataclass
class Scan:
    """What is below a root."""

    top: Folder
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    excluded: int = 0


def scan_tree(root: Path, exclude: Sequence[str] = ()) -> Scan:
    """Look at every folder below ``root``; links are followed once, after all real folders.

    Raises DatasetUnusable where ``root`` is no folder that can be read.
    """
    scanner = _Scanner(root, exclude)
    try:
        scanner.read(scanner.scan.top, "")
    except OSError as error:
        raise DatasetUnusable(f"{root}: {error.strerror or error}") from error
    scanner.follow_links()
    _count(scanner.scan.top)
    scanner.tell()
    return scanner.scan


class _Scanner:
    def __init__(self, root: Path, exclude: Sequence[str]) -> None:
        self.scan = Scan(Folder(root, one_form(root.name)))
        self._exclude = exclude
        self._suffixes = suffixes() | JPEG_SUFFIXES
        self._seen: set[tuple[int, int]] = set()
        self._linked: list[tuple[Folder, str]] = []
        self._again: list[str] = []

    def read(self, top: Folder, relative: str) -> None:
        """Fill ``top``, whose path from the root is ``relative``; raises OSError."""
        status = top.path.stat()
        self._seen.add((status.st_dev, status.st_ino))
        pending = [(top, relative)]
        while pending:
            folder, relative = pending.pop()
            for entry in self._entries(folder, top):
                below = f"{relative}{one_form(entry.name)}"
                if is_junk(entry.name):
                    continue
                if is_excluded(below, self._exclude):
                    self.scan.excluded += 1
                elif entry.is_dir(follow_symlinks=False):
                    self._enter(folder, entry, below, pending)
                elif entry.is_symlink() and Path(entry.path).is_dir():
                    self._linked.append((folder, below))
                    folder.links.append(entry.name)
                else:
                    self._add_file(folder, Path(entry.path))

    def _entries(self, folder: Folder, top: Folder) -> list[os.DirEntry[str]]:
        """What is in ``folder``, in order of names; only ``top`` must be readable."""
        try:
            with os.scandir(folder.path) as entries:
                return sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            if folder is top:
                raise
            why = f"the folder cannot be read: {error.strerror}"
            self.scan.left_out.append(LeftOut(folder.path, why, "unreadable"))
            return []

    def _enter(
        self,
        folder: Folder,
        entry: os.DirEntry[str],
        relative: str,
        pending: list[tuple[Folder, str]],
    ) -> None:
        path = Path(entry.path)
        readable = os.access(path, os.R_OK | os.X_OK)
        if not readable or relative.count("/") >= MAX_DEPTH:
            why = FOLDER_TOO_DEEP if readable else "the folder cannot be read"
            self.scan.left_out.append(LeftOut(path, why, "unreadable"))
            return
        status = entry.stat(follow_symlinks=False)
        if (status.st_dev, status.st_ino) in self._seen:  # by a link that was followed before
            self._again.append(relative)
            return
        self._seen.add((status.st_dev, status.st_ino))
        found = Folder(path, one_form(entry.name))
        folder.folders.append(found)
        pending.append((found, f"{relative}/"))

    def follow_links(self) -> None:
        """Read the folders that links lead to, unless they have been read."""
        while self._linked:
            folder, relative = self._linked.pop(0)
            path = folder.path / folder.links.pop(0)
            try:
                status = path.stat()
                if (status.st_dev, status.st_ino) in self._seen:
                    self._again.append(relative)
                    continue
                found = Folder(path, one_form(path.name))
                self.read(found, f"{relative}/")
            except OSError as error:
                why = f"the folder cannot be read: {error.strerror}"
                self.scan.left_out.append(LeftOut(path, why, "unreadable"))
                continue
            folder.folders.append(found)
            folder.folders.sort(key=lambda each: each.path.name)

    def _add_file(self, folder: Folder, path: Path) -> None:
        suffix = path.suffix.lower()
        if suffix in self._suffixes:
            if path.is_file():
                folder.files.append(path)
            else:
                why = "a link to nothing" if path.is_symlink() else OTHER
                self.scan.left_out.append(LeftOut(path, why, "unreadable"))
            return
        first = _first_bytes(path)
        if is_supported(first):
            folder.files.append(path)
            return
        name = FOREIGN.get(suffix) or (None if suffix else foreign_format(first))
        if name is not None:
            self.scan.left_out.append(LeftOut(path, f"{name} is not read", "format", name))

    def tell(self) -> None:
        if self._again:
            text = "a link leads to a folder that is read already: it counts once"
            self.scan.notes.append(Note("linked-twice", text, tuple(self._again)))
        if self.scan.excluded:
            text = f"{self.scan.excluded} files or folders are left out by --exclude"
            self.scan.notes.append(Note("excluded", text))


def _first_bytes(path: Path) -> bytes:
    """The bytes that tell a format; none where the file cannot be read."""
    try:
        with open_regular(path) as file:
            return file.read(FIRST_BYTES)
    except OSError:
        return b""


def _count(folder: Folder) -> int:
    folder.count = len(folder.files) + sum(_count(each) for each in folder.folders)
    return folder.count
