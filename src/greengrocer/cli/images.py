"""Image files, found in folders and read."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from greengrocer.cli.output import warn
from greengrocer.datasets.layouts.collection import formats_not_read
from greengrocer.datasets.layouts.tree import scan_tree
from greengrocer.errors import DatasetUnusable, EmptyImage, UnreadableImage
from greengrocer.imaging.formats import suffixes
from greengrocer.regular_files import MAX_IMAGE_BYTES, read_regular

STANDARD_INPUT = ("/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")  # may be a pipe


class Found(NamedTuple):
    """Image files, and how many files or folders could not be read."""

    files: list[Path]
    unreadable: int


def find_images(paths: Sequence[Path]) -> Found:
    """The ``paths``, each folder replaced by the images below it, in order of their names.

    A folder counts as the data check reads it: by the bytes of files, without hidden ones, links
    once. What is skipped is reported. A folder without images stays as it is.
    """
    found = [_below(path) if _is_folder(path) else Found([path], 0) for path in paths]
    files = [file for each in found for file in each.files]
    return Found(files, sum(each.unreadable for each in found))


def read_image(path: Path) -> bytes:
    """The file's bytes; raises UnreadableImage where it cannot be read."""
    try:
        if str(path) in STANDARD_INPUT:
            data = sys.stdin.buffer.read(MAX_IMAGE_BYTES + 1)
            if len(data) > MAX_IMAGE_BYTES:
                raise UnreadableImage(f"has over {MAX_IMAGE_BYTES} bytes, the limit")
            return data
        return read_regular(path, MAX_IMAGE_BYTES)
    except IsADirectoryError as error:
        kinds = ", ".join(sorted(suffixes()))
        raise EmptyImage(f"the folder has no image files ({kinds})") from error
    except OSError as error:
        raise UnreadableImage(error.strerror or "the file cannot be read") from error


def _is_folder(path: Path) -> bool:
    """Whether it is one; what cannot be accessed is reported when it is read."""
    try:
        return path.is_dir()
    except OSError:
        return False


def _below(folder: Path) -> Found:
    try:
        scan = scan_tree(folder)
    except DatasetUnusable as error:
        warn(f"greengrocer: {error}: folder skipped")
        return Found([], 1)
    unreadable = [each for each in scan.left_out if each.kind == "unreadable"]
    for each in unreadable:
        warn(f"greengrocer: {each.path}: {each.why}: skipped")
    skipped = formats_not_read(scan.left_out)
    if skipped is not None:
        kinds, todo = skipped
        warn(f"greengrocer: {folder}: files in formats that are not read: {kinds}: {todo}")
    files = sorted(scan.top.below())
    return Found(files or ([] if unreadable else [folder]), len(unreadable))
