"""Files that a training goes on from: each is whole, also after a power cut."""

import os
from pathlib import Path


def replace_durably(unfinished: Path, path: Path) -> None:
    """Move ``unfinished`` to ``path`` once the disk has what is in it; raises OSError."""
    _sync(unfinished)
    os.replace(unfinished, path)
    _sync(path.parent)  # that the file has its name now


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
