"""What every download must leave on disk, and the types of the fixtures."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

Files = dict[str, bytes]
Listing = dict[str, str]
Pack = Callable[..., bytes]
Server = Any  # the fixture's class, which lives in conftest.py


def check_done(destination: Path, files: Files) -> None:
    """Check that all files are there, and no others."""
    assert {path: (destination / path).read_bytes() for path in files} == files
    assert list(destination.parent.iterdir()) == [destination]
