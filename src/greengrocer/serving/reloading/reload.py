"""Reload and roll back the model of a running service, on a message or on SIGHUP.

One change runs at a time. A change that is refused leaves the model as it is.
"""

import asyncio
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from typing import NamedTuple

import structlog

from greengrocer.errors import ReloadRefused, UsageError
from greengrocer.pipeline import Pipeline
from greengrocer.ranking import ModelId
from greengrocer.serving.reloading.control import ControlServer, Message
from greengrocer.serving.reloading.models import Models
from greengrocer.serving.signals import on_signal
from greengrocer.telemetry.metrics import Metrics

# Takes a bundle's name or directory, returns its verified and warm pipeline; raises UsageError.
Load = Callable[[str], Pipeline]
# Takes the same; returns once another process has loaded the bundle, or raises UsageError.
Attempt = Callable[[str], Awaitable[None]]
Remember = Callable[[str], None]  # is given the name or directory of the next model

log = structlog.get_logger("greengrocer.reload")


class Change(NamedTuple):
    """The model before a change, and the one after it."""

    old: ModelId
    new: ModelId


class Reloader:
    """Changes the current model of ``models``. Its methods run on the event loop only.

    ``attempt`` is called before ``load``. ``remember`` is called before each change, and prevents
    it by an OSError; ``changed`` is called after it.
    """

    def __init__(
        self,
        models: Models,
        load: Load,
        source: str,
        metrics: Metrics,
        attempt: Attempt | None = None,
        remember: Remember = lambda _: None,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.models = models
        self.load = load
        self.attempt = attempt
        self.metrics = metrics
        self.remember = remember
        self.changed = changed
        self._source = source  # the name or directory of the current model
        self._previous_source = source
        self._busy = False

    async def reload(self, source: str | None = None) -> Change:
        """Load, verify and warm ``source``, by default the current one again, and swap it in.

        Raises UsageError (BundleRefused, ReloadRefused), in one line; the model is then unchanged.
        """
        with self._logged(), self._exclusively():
            source = self._source if source is None else source
            if self.attempt is not None:
                await self.attempt(source)
            pipeline = await asyncio.to_thread(self._load, source)
            old = self.models.current.labels.model
            try:
                self._remember(source)
            except ReloadRefused:
                pipeline.close()
                raise
            self.models.swap(pipeline)
            self._source, self._previous_source = source, self._source
            return self._changed(old)

    async def roll_back(self) -> Change:
        """Return to the previous model. Raises ReloadRefused where there is none."""
        with self._logged(), self._exclusively():
            old = self.models.current.labels.model
            self.models.check_previous()
            self._remember(self._previous_source)
            self.models.roll_back()
            self._source, self._previous_source = self._previous_source, self._source
            return self._changed(old)

    def _load(self, source: str) -> Pipeline:
        try:
            return self.load(source)
        except UsageError:
            raise
        # Any error of a new model: the current one must continue to serve.
        except Exception as error:
            log.exception("reload failed", bundle=source)
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            raise ReloadRefused(f"bundle {source} does not load: {reason}") from error

    def _remember(self, source: str) -> None:
        try:
            self.remember(source)
        except OSError as error:
            raise ReloadRefused(
                "the model was not changed, because the change cannot be recorded: "
                f"{error.strerror or error}"
            ) from error

    @contextmanager
    def _exclusively(self) -> Iterator[None]:
        if self._busy:
            raise ReloadRefused("another reload or rollback is running: try again later")
        self._busy = True
        try:
            yield
        finally:
            self._busy = False

    @contextmanager
    def _logged(self) -> Iterator[None]:
        try:
            yield
        except UsageError as error:
            self.metrics.reloads.labels("refused").inc()
            serving = _name_of(self.models.current.labels.model)
            log.warning("reload refused", reason=str(error), serving=serving)
            raise

    def _changed(self, old: ModelId) -> Change:
        self.changed()
        new = self.models.current.labels.model
        self.metrics.serves(*new)
        self.metrics.reloads.labels("ok").inc()
        log.info("reloaded", old=_name_of(old), new=_name_of(new))
        return Change(old, new)


class ReloadTriggers:
    """Changes the model on messages and on SIGHUP, inside its ``async with`` block."""

    def __init__(self, reloader: Reloader, listener: socket.socket | None) -> None:
        self.reloader = reloader
        self.listener = listener
        self._stack = AsyncExitStack()
        self._tasks: set[asyncio.Task[None]] = set()  # the loop itself keeps no task alive

    async def __aenter__(self) -> None:
        self._stack.enter_context(on_signal(signal.SIGHUP, self._on_sighup))
        if self.listener is not None:
            await self._stack.enter_async_context(ControlServer(self.listener, self.obey))

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def obey(self, message: Message) -> Message:
        """The answer to ``message``: the old and the new model, or why nothing was changed."""
        try:
            change = await self._change(message)
        except UsageError as error:
            return {"ok": False, "error": str(error)}
        return {"ok": True, "old": change.old._asdict(), "new": change.new._asdict()}

    async def _change(self, message: Message) -> Change:
        match message:
            case {"order": "reload", "bundle": str() | None as bundle, **rest} if not rest:
                return await self.reloader.reload(bundle)
            case {"order": "rollback", **rest} if not rest:
                return await self.reloader.roll_back()
        raise UsageError("the order is unknown: send reload, with a bundle, or rollback")

    def _on_sighup(self) -> None:
        task = asyncio.get_running_loop().create_task(self._reload_quietly())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reload_quietly(self) -> None:
        with suppress(UsageError):  # the reloader has logged it
            await self.reloader.reload()


def _name_of(model: ModelId) -> str:
    return f"{model.name} {model.version}"
