"""A Python that finds what it would find on macOS: nothing that Linux alone has."""

import os
from pathlib import Path

HOME = Path(__file__).parent


def environment() -> dict[str, str]:
    """In which Python has no name, file or C function of Linux's own."""
    path = [str(HOME), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(filter(None, path))}
