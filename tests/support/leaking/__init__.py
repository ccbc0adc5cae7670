"""A service that holds on to what it refuses, for tests that must notice."""

import os
from pathlib import Path

HOME = Path(__file__).parent


def environment() -> dict[str, str]:
    """In which a service lets go of nothing that an error refers to."""
    path = [str(HOME), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(filter(None, path))}
