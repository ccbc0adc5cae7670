"""An installation without the extra grpc, where that of the tests has it."""

from pathlib import Path

from support.plugins import python_path


def environment() -> dict[str, str]:
    """For processes that are to be without it."""
    return python_path(Path(__file__).parent)
