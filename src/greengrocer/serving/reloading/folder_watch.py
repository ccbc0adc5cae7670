"""Serve what appears in a folder: each folder in it is a bundle, and its name the model's."""

import asyncio
import hashlib
import os
import stat
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import structlog

from greengrocer.bundles.manifest import MANIFEST
from greengrocer.errors import ReloadRefused, UsageError, may_pass
from greengrocer.model_names import KEY, RULE, label_of
from greengrocer.safe_text import MAX_NAME, one_line
from greengrocer.serving.reloading.manager import ModelManager

SECONDS = 2.0  # between two looks
PAUSE = 60.0  # seconds after a refusal that may pass; each further pause is twice as long
LONGEST_PAUSE = 3600.0

log = structlog.get_logger("greengrocer.models")


class Pause(NamedTuple):
    """Why a bundle is not tried now: in this state of its files it was refused, which may pass."""

    files: str
    seconds: float
    end: float  # of the clock
    reason: str


class FolderWatch:
    """Looks at ``folder`` again and again, inside its ``async with`` block.

    A bundle that has not changed since the last look is loaded, one that was changed is loaded
    again, and a model whose bundle was missing at two looks is unloaded. Each is tried and verified
    first, as on an order. What is refused is logged, listed as failed unless its model serves or
    was unloaded, and left alone until its files change; where the refusal may pass, as of a full
    disk or a trial that was too slow, it is tried again after a pause. What cannot be done or read
    as things are is logged once, and done when it can be.
    """

    def __init__(
        self,
        manager: ModelManager,
        folder: Path,
        seconds: float = SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not folder.is_dir():
            raise UsageError(f"setting watch: {folder} is not a folder: make it first")
        self.manager = manager
        self.folder = folder.absolute()
        self.seconds = seconds
        self.clock = clock
        self._before: dict[str, str] = {}  # states of files at the last look
        # states that were loaded, also by the engine process before this one, or refused
        self._taken = dict(manager.state.watched)
        self._passed: dict[str, str] = {}  # states that have passed their trial
        self._pauses: dict[str, Pause] = {}
        self._told: dict[str, str] = {}  # why a model waits for the others
        self._unreadable: dict[str, str] = {}  # why a bundle could not be read at the last look
        self._missing: set[str] = set()  # bundles that were known, and not there at the last look
        self._nameless: set[str] = set()  # folders of bundles whose names no model can have
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def look(self) -> bool:
        """Unload what has gone, and load what has appeared or changed.

        Returns False where loading took so long that what is left waits for the next look, which
        may find it gone. Raises OSError.
        """
        found, unreadable = await asyncio.to_thread(bundles_in, self.folder)
        nameless = await asyncio.to_thread(nameless_in, self.folder)
        for name in sorted(nameless - self._nameless):
            shown = one_line(name, MAX_NAME)
            log.warning("watched folder has no model's name", folder=shown, reason=RULE)
        for key, reason in unreadable.items():
            if self._unreadable.get(key) != reason:
                log.warning("watched model not read", model=key, reason=reason)
                self._note_failed(key, reason)
        failed = self.manager.state.failed_watched
        waiting = self._passed.keys() | self._pauses.keys() | self._told.keys()
        known = self._taken.keys() | waiting | failed | self._missing
        missing = known - found.keys() - unreadable.keys()
        for key in sorted(missing & self._missing, key=label_of, reverse=True):
            if self._can(self._check_leave, key) and await self._leave(key):
                missing.discard(key)
        before, self._before = self._before, found
        self._unreadable, self._missing, self._nameless = unreadable, missing, nameless
        settled = {key: files for key, files in found.items() if before.get(key) == files}
        return await self._take_all(settled)  # the others may still be copied

    async def _run(self) -> None:
        before = ""  # what went wrong at the last look
        while True:
            wrong, done = "", True
            try:
                done = await self.look()
            except OSError as error:
                wrong = str(error)
                if wrong != before:
                    log.warning("folder not read", folder=str(self.folder), reason=wrong)
            except Exception as error:  # the next look may go well
                wrong = repr(error)
                if wrong != before:
                    log.exception("watch failed", folder=str(self.folder))
            before = wrong
            if done:
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

    async def _take_all(self, bundles: Mapping[str, str]) -> bool:
        """Load what is new of these, by their files; False where the time of a look ended that."""
        end = self.clock() + self.seconds
        for key, files in bundles.items():
            if self._taken.get(key) != files and self._can(self._check_take, key):
                if self.clock() > end:
                    return False
                await self._take(key, files)
        return True

    async def _take(self, key: str, files: str) -> None:
        """Try and load a bundle, unless it is to wait."""
        before = self._pauses.get(key)
        if before is None or before.files != files:
            before = Pause(files, PAUSE / 2, self.clock(), "")
        if self.clock() < before.end:
            return
        bundle = str(self.folder / key)
        try:
            if not await self._loads(key, bundle, files):
                return
        except Exception as error:  # it must not keep the others from being served
            known = isinstance(error, UsageError)  # the manager has logged it
            reason = str(error) if known else repr(error)
            if not known and reason != before.reason:
                log.exception("watched model not loaded", model=key)
            if not await self._unchanged(bundle, files):  # it has gone, or the next look tries it
                return
            self._note_failed(key, reason)
            if may_pass(error):
                seconds = min(2 * before.seconds, LONGEST_PAUSE)
                self._pauses[key] = Pause(files, seconds, self.clock() + seconds, reason)
                log.info("watched model is tried again later", model=key, seconds=seconds)
                return
        self._note_taken(key, files)

    async def _loads(self, key: str, bundle: str, files: str) -> bool:
        """Load a bundle that has passed its trial; orders are obeyed while it is tried.

        Returns False where it has changed since the look, or an order came first. Raises
        UsageError.
        """
        if self._passed.get(key) != files:
            if not await self._unchanged(bundle, files):
                return False
            if not await self._passes(key, bundle, files):
                return False
            self._passed[key] = files
        if not self._can(self._check_take, key):
            return False
        if self.manager.state.serves_watched(key):
            await self.manager.reload(bundle, key, files)
        else:
            await self.manager.add(key, bundle, files)
        return True

    async def _passes(self, key: str, bundle: str, files: str) -> bool:
        """Try a bundle, which may take half a minute; other changes may run meanwhile.

        Returns False where it has gone or changed since: that is no refusal, whatever the trial
        says. Raises UsageError: TrialTooSlow where it took too long.
        """
        try:
            if self.manager.attempt is not None:
                await self.manager.attempt(bundle)
        except UsageError:
            if not await self._unchanged(bundle, files):
                return False
            with self.manager.changes.refusals("load", key, files):
                raise
        return await self._unchanged(bundle, files)

    async def _unchanged(self, bundle: str, files: str) -> bool:
        try:
            return await asyncio.to_thread(_files, Path(bundle)) == files
        except OSError:
            return False

    def _note_taken(self, key: str, files: str) -> None:
        """These files are served, or refused for good: the next ones begin anew."""
        self._taken[key] = files
        for states in (self._pauses, self.manager.changes.watched):
            states.pop(key, None)

    def _note_failed(self, key: str, reason: str) -> None:
        self.manager.note_failed(key, str(self.folder / key), reason)

    async def _leave(self, key: str) -> bool:
        """Unload or forget a model whose bundle has gone; returns whether that was possible."""
        try:
            if self.manager.state.serves_watched(key):
                await self.manager.remove(key, forget=True)
            else:
                self.manager.note_gone(key)
        except UsageError:  # the next look tries again
            return False
        told = self.manager.changes.watched
        for states in (self._taken, self._passed, self._pauses, self._told, told):
            states.pop(key, None)
        return True


def bundles_in(folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """The state of each bundle's files, by its name, models before versions beside them.

    Second, why others cannot be read, by name. Raises OSError where that is so of the folder.
    """
    found: dict[str, str] = {}
    unreadable: dict[str, str] = {}
    names = sorted(path.name for path in folder.iterdir() if KEY.fullmatch(path.name))
    for name in sorted(names, key=lambda name: label_of(name) != ""):
        try:
            if stat.S_ISREG((folder / name / MANIFEST).stat().st_mode):
                found[name] = _files(folder / name)
            else:
                unreadable[name] = f"{MANIFEST} is not a regular file"
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            unreadable[name] = error.strerror or str(error)
    return found, unreadable


def nameless_in(folder: Path) -> set[str]:
    """Names of folders that have a manifest, and cannot be served: no model can be called so.

    Hidden folders are not among them: a copy may be under way there. Raises OSError.
    """
    others = (path for path in folder.iterdir() if not KEY.fullmatch(path.name))
    return {
        path.name
        for path in others
        if not path.name.startswith(".") and os.path.isfile(path / MANIFEST)  # noqa: PTH113 - no error
    }


def _files(bundle: Path) -> str:
    """A text that changes where a file of the bundle does; one that has just gone is left out.

    It stays where the bundle's folder is moved. Raises OSError.
    """
    files: list[tuple[str, int, int, int, int]] = []  # path, size, inode and times of changes
    for path in bundle.rglob("*"):
        with suppress(OSError):
            found = path.stat()
            times = found.st_mtime_ns, found.st_ctime_ns  # who copies may set the first alone
            files.append((str(path.relative_to(bundle)), found.st_size, found.st_ino, *times))
    return hashlib.sha256(repr(sorted(files)).encode()).hexdigest()
