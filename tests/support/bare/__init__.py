"""What an installation without extras is like, where the tests' own has them."""

from pathlib import Path


def environment() -> dict[str, str]:
    """For processes that are to be without them."""
    return {"PYTHONPATH": str(Path(__file__).parent)}
