"""Images that crash and hang an engine process.

This directory stands first on the path of a service's processes: Python then finds the package
``greengrocer-fake-engine`` here, whose engine is poisonable, and not that of ``tests/plugins``.
"""

from pathlib import Path

from support.plugins import python_path

HOME = Path(__file__).parent


def environment() -> dict[str, str]:
    """In which a service's fake engine is poisonable."""
    return python_path(HOME, HOME.parents[1])
