"""Copies of the serving bundles, in the runtime directory, for an engine that is started again.

The original of a bundle may be damaged, deleted or replaced by then.
"""

import errno
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import structlog

from greengrocer.bundles.bundle import Bundle
from greengrocer.errors import BundleRefused
from greengrocer.serving.catalogue import Absence
from greengrocer.serving.reloading.origin import Origin, Origins
from greengrocer.serving.reloading.serving_state import Absent, ServingState
from greengrocer.serving.workers.runtime_directory import replace_privately

SERVING = "serving"  # the file in the runtime directory that says what serves
COPIES = "bundles"
ROOM = 16_000_000  # bytes that must stay free, mainly for the metrics of processes

log = structlog.get_logger("greengrocer.engine")


class BundleStore:
    """What serves, and copies of its bundles and of those to roll back to. For one thread."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / SERVING
        self.copies = directory / COPIES
        self.serving = self._read() if self.file.exists() else None
        self._number = 0
        self._tidy()

    def stage(self, source: str, bundle: Bundle) -> Path | None:
        """Copy ``bundle``, which has loaded. Without room for a copy, none is kept."""
        copy = self._free()
        try:
            bundle.copy_to(copy)
            if shutil.disk_usage(copy).free < ROOM:
                raise OSError(  # noqa: TRY301
                    errno.ENOSPC, "the disk would be too full to start processes again"
                )
        except BaseException as error:
            shutil.rmtree(copy, ignore_errors=True)
            if not isinstance(error, (OSError, BundleRefused)):
                raise
            log.warning("no copy of the bundle is kept", bundle=source, reason=str(error))
            return None
        return copy

    def remember(self, serving: ServingState) -> None:
        """Record what serves from now on. Raises OSError."""
        record = {
            "default": serving.default,
            "models": [[key, *_plain(origins.current)] for key, origins in serving.models.items()],
            "absent": [
                [key, absence, reason, *_plain(origin)]
                for key, (absence, origin, reason) in serving.absent.items()
            ],
            "splits": serving.splits,
            "shadows": serving.shadows,
            "watched": serving.watched,
        }
        replace_privately(self.file, json.dumps(record))
        self.serving = serving
        self._tidy()

    def _read(self) -> ServingState:
        record = json.loads(self.file.read_text())
        return ServingState(
            {key: Origins(self._origin(plain)) for key, *plain in record["models"]},
            record["default"],
            {
                key: Absent(Absence(absence), self._origin(plain), reason)
                for key, absence, reason, *plain in record["absent"]
            },
            {name: tuple(map(tuple, parts)) for name, parts in record["splits"].items()},
            record["shadows"],
            record["watched"],
        )

    def _origin(self, plain: Sequence[Any]) -> Origin:
        name, bundle, copy, label, watched = plain
        return Origin(name, bundle, copy and self.copies / copy, label, watched)

    def _free(self) -> Path:
        while True:
            self._number += 1
            copy = self.copies / str(self._number)
            if not copy.exists():
                return copy

    def _tidy(self) -> None:
        """Remove the copies that no model needs, neither now nor for a rollback."""
        models = () if self.serving is None else self.serving.models.values()
        wanted = {origin.copy for origins in models for origin in origins if origin}
        self.copies.mkdir(mode=0o700, exist_ok=True)
        for copy in self.copies.iterdir():
            if copy not in wanted:
                shutil.rmtree(copy, ignore_errors=True)


def _plain(origin: Origin) -> list[str | bool | None]:
    copy = None if origin.copy is None else origin.copy.name
    return [origin.name, origin.bundle, copy, origin.label, origin.watched]
