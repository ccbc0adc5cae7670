"""Copies of the bundles that serve, in the private directory: for the engine after this one.

What lies where a bundle came from may be damaged, gone, or already another model by then.
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

SERVING = "serving"  # in the private directory: what serves
COPIES = "bundles"
ROOM = 16_000_000  # bytes that must be left: for the metrics of processes, above all

log = structlog.get_logger("greengrocer.engine")


class StoredBundle(NamedTuple):
    """A bundle's name or directory as a person said it, and its copy; None where it has none."""

    source: str
    copy: Path | None


class BundleStore:
    """What serves and what ``roll_back`` would return to. For one thread at a time."""

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
        """Copy ``bundle``, which has loaded; where there is no room for it, it goes without."""
        self._tidy()
        copy = self._free()
        try:
            bundle.copy_to(copy)
            if shutil.disk_usage(copy).free < ROOM:
                raise OSError(  # noqa: TRY301
                    errno.ENOSPC, "no room would be left for processes to be replaced"
                )
        except (OSError, BundleRefused) as error:
            shutil.rmtree(copy, ignore_errors=True)
            log.warning("no copy of the bundle is kept", bundle=source, reason=str(error))
            self._staged = StoredBundle(source, None)
        else:
            self._staged = StoredBundle(source, copy)

    def remember(self, source: str) -> None:
        """What is staged serves from now on, or what served before; raises OSError.

        Whatever comes of it, nothing is staged any more.
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
        """Remove what nobody will ask for again."""
        self._staged = None
        wanted = {stored.copy for stored in (self.current, self._previous) if stored}
        self.copies.mkdir(mode=0o700, exist_ok=True)
        for copy in self.copies.iterdir():
            if copy not in wanted:
                shutil.rmtree(copy, ignore_errors=True)
