"""Copies of the serving bundles, in the runtime directory, for an engine that is started again.

The original of a bundle may be damaged, deleted or replaced by then.
"""

import errno
import json
import shutil
from pathlib import Path
from typing import NamedTuple

import structlog

from greengrocer.bundles.bundle import Bundle
from greengrocer.errors import BundleRefused
from greengrocer.serving.workers.runtime_directory import replace_privately

SERVING = "serving"  # the file in the runtime directory that names the current bundle
COPIES = "bundles"
ROOM = 16_000_000  # bytes that must stay free, mainly for the metrics of processes

log = structlog.get_logger("greengrocer.engine")


class StoredBundle(NamedTuple):
    """A bundle's name or directory as the operator gave it, and its copy, or None without one."""

    source: str
    copy: Path | None


class BundleStore:
    """The current bundle, and the one that ``roll_back`` returns to. For one thread at a time."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / SERVING
        self.copies = directory / COPIES
        self.current: StoredBundle | None = None
        self._previous: StoredBundle | None = None
        self._staged: StoredBundle | None = None
        self._number = 0
        if self.file.exists():
            source, name = json.loads(self.file.read_text())
            self.current = StoredBundle(source, name and self.copies / name)
        self._tidy()

    def stage(self, source: str, bundle: Bundle) -> None:
        """Copy ``bundle``, which has loaded. Without room for a copy, none is kept."""
        self._tidy()
        copy = self._free()
        try:
            bundle.copy_to(copy)
            if shutil.disk_usage(copy).free < ROOM:
                raise OSError(  # noqa: TRY301
                    errno.ENOSPC, "the disk would be too full to start processes again"
                )
        except (OSError, BundleRefused) as error:
            shutil.rmtree(copy, ignore_errors=True)
            log.warning("no copy of the bundle is kept", bundle=source, reason=str(error))
            self._staged = StoredBundle(source, None)
        else:
            self._staged = StoredBundle(source, copy)

    def remember(self, source: str) -> None:
        """Record that the staged bundle serves now or, if none is staged, the previous one.

        Nothing is staged afterwards, even after an error. Raises OSError.
        """
        staged, self._staged = self._staged, None
        serving = staged or self._previous or StoredBundle(source, None)
        name = serving.copy and serving.copy.name
        replace_privately(self.file, json.dumps([serving.source, name]))
        self.current, self._previous = serving, self.current
        self._tidy()

    def _free(self) -> Path:
        while True:
            self._number += 1
            copy = self.copies / str(self._number)
            if not copy.exists():
                return copy

    def _tidy(self) -> None:
        """Remove the copies that are neither current nor previous."""
        self._staged = None
        wanted = {stored.copy for stored in (self.current, self._previous) if stored}
        self.copies.mkdir(mode=0o700, exist_ok=True)
        for copy in self.copies.iterdir():
            if copy not in wanted:
                shutil.rmtree(copy, ignore_errors=True)
