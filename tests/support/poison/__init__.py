"""Images that crash and hang an engine process."""

import os
from pathlib import Path

HOME = Path(__file__).parent


def environment() -> dict[str, str]:
    """In which a service's fake engine is poisonable."""
    path = [str(HOME), str(HOME.parents[1]), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(filter(None, path))}
