"""Serve what appears in a folder: each folder in it is a bundle, and its name the model's."""

import asyncio
import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import structlog

from greengrocer.bundles.manifest import MANIFEST
from greengrocer.errors import ReloadRefused, UsageError
from greengrocer.model_names import KEY, label_of
from greengrocer.serving.reloading.manager import ModelManager

SECONDS = 2.0  # between two looks

log = structlog.get_logger("greengrocer.models")


class FolderWatch:
    """Looks at ``folder`` again and again, inside its ``async with`` block.

    A bundle that has not changed since the last look is loaded, one that was changed is loaded
    again, and a model whose folder has gone is unloaded. Each is tried and verified first, as on
    an order. What is refused is logged, and left alone until its files change. What cannot be done
    as long as the other models are as they are is logged once, and done when it can be.
    """

    def __init__(self, manager: ModelManager, folder: Path, seconds: float = SECONDS) -> None:
        if not folder.is_dir():
            raise UsageError(f"setting watch: {folder} is not a folder: make it first")
        self.manager = manager
        self.folder = folder.absolute()
        self.seconds = seconds
        self._before: dict[str, str] = {}  # states of files at the last look
        # states that were loaded, also by the engine process before this one, or refused
        self._taken = dict(manager.state.watched)
        self._told: dict[str, str] = {}  # why a model waits for the others
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def look(self) -> None:
        """Load what has appeared or changed, and unload what has gone."""
        found = await asyncio.to_thread(bundles_in, self.folder)
        for key, files in found.items():
            settled = self._before.get(key) == files  # else it may still be copied
            if settled and self._taken.get(key) != files and self._can(self._check_take, key):
                self._taken[key] = files
                await self._take(key, files)
        for key in sorted(self._taken.keys() - found.keys(), key=label_of, reverse=True):
            if self._can(self._check_leave, key) and await self._leave(key):
                del self._taken[key]
        self._before = found

    async def _run(self) -> None:
        while True:
            try:
                await self.look()
            except OSError as error:
                log.warning("folder not read", folder=str(self.folder), reason=str(error))
            await asyncio.sleep(self.seconds)

    def _can(self, check: Callable[[str], object], key: str) -> bool:
        """Whether a change would not be refused now; the log is told once why it would be."""
        if self.manager.busy:
            return False
        try:
            check(key)
        except ReloadRefused as error:
            if self._told.get(key) != str(error):
                self._told[key] = str(error)
                log.warning("watched model waits", model=key, reason=str(error))
            return False
        self._told.pop(key, None)
        return True

    def _check_take(self, key: str) -> None:
        if not self.manager.state.serves_watched(key):
            self.manager.state.check_free(key)

    def _check_leave(self, key: str) -> None:
        if self.manager.state.serves_watched(key):
            self.manager.state.removed(key)

    async def _take(self, key: str, files: str) -> None:
        bundle = str(self.folder / key)
        with suppress(UsageError):  # the manager has logged it
            if self.manager.state.serves_watched(key):
                await self.manager.reload(bundle, key, files)
            else:
                await self.manager.add(key, bundle, files)

    async def _leave(self, key: str) -> bool:
        """Unload a model whose folder has gone; returns whether it serves no more."""
        if self.manager.state.serves_watched(key):
            try:
                await self.manager.remove(key)
            except UsageError:  # the manager has logged it
                return False
        return True


def bundles_in(folder: Path) -> dict[str, str]:
    """The state of each bundle's files, by its name, models before versions beside them.

    Raises OSError.
    """
    found = [
        path
        for path in folder.iterdir()
        if KEY.fullmatch(path.name) and (path / MANIFEST).is_file()
    ]
    found.sort(key=lambda path: (label_of(path.name) != "", path.name))
    return {path.name: _files(path) for path in found}


def _files(bundle: Path) -> str:
    """A text that changes where a file of the bundle does; one that has just gone is left out."""
    files: list[tuple[str, int, int]] = []  # path, size and time of change
    for path in bundle.rglob("*"):
        with suppress(OSError):
            stat = path.stat()
            files.append((str(path.relative_to(bundle)), stat.st_size, stat.st_mtime_ns))
    return hashlib.sha256(repr(sorted(files)).encode()).hexdigest()
