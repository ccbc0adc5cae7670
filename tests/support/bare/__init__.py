"""An installation without extras, where that of the tests has them."""

from pathlib import Path

from support.plugins import python_path


def environment() -> dict[str, str]:
    """For processes that are to be without them."""
    return python_path(Path(__file__).parent)
