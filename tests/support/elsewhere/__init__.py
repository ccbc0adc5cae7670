"""A Python that finds what it would find on macOS: nothing that Linux alone has."""

from pathlib import Path

from support.plugins import python_path

HOME = Path(__file__).parent


def environment() -> dict[str, str]:
    """In which Python has no name, file or C function of Linux's own."""
    return python_path(HOME)
