"""The user's cache folder: what lies there is trusted, so it must be the user's own."""

import os
import stat
from pathlib import Path

import platformdirs

from greengrocer.errors import UsageError


def own_cache(name: str) -> Path:
    """The folder ``name`` in the product's cache folder, whether or not it is there.

    Raises UsageError where one of the two belongs to another user, or anybody may write to it: what
    is in it would be taken for what this user has put there.
    """
    home = platformdirs.user_cache_path("greengrocer")
    for folder in (home, home / name):
        why = _doubt(folder)
        if why:
            raise UsageError(
                f"the cache folder {folder} {why}: remove it, or name another place by the "
                "variable XDG_CACHE_HOME"
            )
    return home / name


def _doubt(folder: Path) -> str | None:
    """Why ``folder`` is not to be trusted; None where it is, or is not there."""
    if not hasattr(os, "geteuid"):
        return None
    try:
        for status in (folder.lstat(), folder.stat()):
            if status.st_uid != os.geteuid():
                return f"belongs to another user, with the id {status.st_uid}"
            if stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_IWOTH:
                return "may be written to by everybody"
    except OSError:
        return None
    return None
