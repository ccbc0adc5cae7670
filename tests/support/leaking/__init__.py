"""A service that holds on to what it refuses, for tests that must notice."""

from pathlib import Path

from support.plugins import python_path

HOME = Path(__file__).parent


def environment() -> dict[str, str]:
    """In which a service lets go of nothing that an error refers to."""
    return python_path(HOME)
