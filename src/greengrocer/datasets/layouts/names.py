"""The names of files and folders: which never count, which mean a split, which are the same."""

import fnmatch
import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath

SPLITS = ("train", "val", "test")

_ROLES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
# What systems and programs leave behind. Names that begin with a dot are hidden anyway.
_JUNK = frozenset(
    {
        *("__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information"),
        *("lost+found", "__pycache__", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"),
    }
)
# Image formats under other suffixes than the usual.
JPEG_SUFFIXES = frozenset({".jfif", ".jpe", ".jif", ".pjpeg", ".pjp"})
# Formats that are told by their suffix, and never read.
FOREIGN = {
    **{f".{name}": name.upper() for name in ("gif", "bmp", "psd", "svg", "ico", "jp2", "tga")},
    **{f".{name}": name.upper() for name in ("eps", "pdf", "xcf", "exr", "hdr", "ppm", "pgm")},
    **{f".{name}": name.upper() for name in ("cr2", "cr3", "nef", "arw", "dng", "raf", "orf")},
    **{f".{name}": name.upper() for name in ("rw2", "mp4", "mov", "avi", "mkv", "webm", "m4v")},
    **{f".{name}": name.upper() for name in ("3gp", "mpg", "mpeg", "wmv", "zip", "rar", "7z")},
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".jxl": "JPEG XL",
    ".heic": "HEIC",
    ".heif": "HEIC",
    ".hif": "HEIC",
    ".avif": "AVIF",
}


def one_form(name: str) -> str:
    """``name`` in the Unicode form NFC: systems store the same name in different forms."""
    return unicodedata.normalize("NFC", name)


def is_junk(name: str) -> bool:
    """Whether a file or folder never counts: it is hidden, or left behind by a program."""
    return name.startswith(".") or name.casefold() in _JUNK


def split_of(name: str) -> str | None:
    """The split that a folder or a cell of a table means, in any case: "train", "val", "test"."""
    return _ROLES.get(name.strip().casefold())


def is_excluded(relative: str, patterns: Sequence[str]) -> bool:
    """Whether ``relative`` ("fruit/apple/1.jpg") or its last name matches one of ``patterns``.

    A pattern with a slash is matched against the whole path, one without against the last name.
    """
    name = relative.rpartition("/")[2]
    for given in patterns:
        pattern = one_form(given).rstrip("/").removeprefix("./")
        if fnmatch.fnmatchcase(relative if "/" in pattern else name, pattern):
            return True
    return False


def is_path_excluded(path: Path, root: Path, patterns: Sequence[str]) -> bool:
    """Whether ``path``, or a folder below ``root`` that it is in, is excluded.

    Of a path that leads out of ``root``, every folder counts.
    """
    if not patterns:
        return False
    # Not resolve: a link counts by its own name, as it does in a folder that is looked through.
    whole = (os.path.abspath(each) for each in (path, root))  # noqa: PTH100
    full, top = (PurePath(one_form(each)) for each in whole)
    parts = (full.relative_to(top) if full.is_relative_to(top) else full).parts
    below = ("/".join(parts[:end]) for end in range(1, len(parts) + 1))
    return any(is_excluded(each, patterns) for each in below)


def alike(name: str) -> str:
    """What names have in common that differ only by case, blanks, hyphens or underscores."""
    return re.sub(r"(?<=\w)[\s_-]+(?=\w)", "", one_form(name).strip().casefold().replace("_", " "))


def similar_names(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Sets of names that differ only by case, blanks, hyphens or underscores."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(alike(name), []).append(name)
    return [tuple(each) for each in found.values() if len(each) > 1]
