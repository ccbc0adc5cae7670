"""Changes the model while it serves: one change at a time, and what is refused changes nothing."""

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

# A bundle's name or directory in, its verified and warm pipeline out; raises UsageError.
Load = Callable[[str], Pipeline]
# The same in; returns where a process that is nobody's has loaded it and lived, or raises so.
Attempt = Callable[[str], Awaitable[None]]
Remember = Callable[[str], None]  # the name or directory of what is about to serve

log = structlog.get_logger("greengrocer.reload")


class Change(NamedTuple):
    """Which model served before, and which one serves now."""

    old: ModelId
    new: ModelId


class Reloader:
    """Puts another model, or the same one read anew, into ``models``. For the event loop alone.

    ``attempt`` comes before ``load``. ``remember`` is told of each change before it is made, and
    may prevent it by an OSError; ``changed`` is called once it is made.
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
        self._source = source  # the name or directory that the serving model came from
        self._previous_source = source
        self._busy = False

    async def reload(self, source: str | None = None) -> Change:
        """Load, verify and warm ``source``, by default what serves now, and swap it in.

        Raises UsageError (BundleRefused, ReloadRefused), in one line; the old one serves on.
        """
        with self._noted(), self._alone():
            source = self._source if source is None else source
            if self.attempt is not None:
                await self.attempt(source)
            pipeline = await asyncio.to_thread(self._loaded, source)
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
        """Let the model before this one serve again. Raises ReloadRefused where there is none."""
        with self._noted(), self._alone():
            old = self.models.current.labels.model
            self.models.check_previous()
            self._remember(self._previous_source)
            self.models.roll_back()
            self._source, self._previous_source = self._previous_source, self._source
            return self._changed(old)

    def _loaded(self, source: str) -> Pipeline:
        try:
            return self.load(source)
        except UsageError:
            raise
        # Whatever a new model may do to its engine, the old one must serve on.
        except Exception as error:
            log.exception("reload failed", bundle=source)
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            raise ReloadRefused(f"bundle {source} does not load: {reason}") from error

    def _remember(self, source: str) -> None:
        try:
            self.remember(source)
        except OSError as error:
            raise ReloadRefused(
                f"nothing has changed, for it cannot be noted: {error.strerror or error}"
            ) from error

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if self._busy:
            raise ReloadRefused("another change of model is under way: ask again when it is done")
        self._busy = True
        try:
            yield
        finally:
            self._busy = False

    @contextmanager
    def _noted(self) -> Iterator[None]:
        try:
            yield
        except UsageError as error:
            self.metrics.reloads.labels("refused").inc()
            serving = _told(self.models.current.labels.model)
            log.warning("reload refused", reason=str(error), serving=serving)
            raise

    def _changed(self, old: ModelId) -> Change:
        self.changed()
        new = self.models.current.labels.model
        self.metrics.serves(*new)
        self.metrics.reloads.labels("ok").inc()
        log.info("reloaded", old=_told(old), new=_told(new))
        return Change(old, new)


class ReloadTriggers:
    """Turns messages and SIGHUP into changes of the model, from ``async with`` to its end."""

    def __init__(self, reloader: Reloader, listener: socket.socket | None) -> None:
        self.reloader = reloader
        self.listener = listener
        self._stack = AsyncExitStack()
        self._tasks: set[asyncio.Task[None]] = set()  # the loop itself keeps no task alive

    async def __aenter__(self) -> None:
        self._stack.enter_context(on_signal(signal.SIGHUP, self._hung_up))
        if self.listener is not None:
            await self._stack.enter_async_context(ControlServer(self.listener, self.obey))

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def obey(self, message: Message) -> Message:
        """The answer to ``message``: which model served and serves, or why nothing has changed."""
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
        raise UsageError("the order is neither reload, with a bundle, nor rollback")

    def _hung_up(self) -> None:
        task = asyncio.get_running_loop().create_task(self._reload_quietly())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reload_quietly(self) -> None:
        with suppress(UsageError):  # the reloader has logged it
            await self.reloader.reload()


def _told(model: ModelId) -> str:
    return f"{model.name} {model.version}"
