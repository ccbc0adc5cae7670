"""The orders that a running service takes: reload and rollback by its socket, reload by SIGHUP."""

import asyncio
import signal
import socket
from contextlib import AsyncExitStack, suppress

from greengrocer.errors import UsageError
from greengrocer.serving.reloading.control import ControlServer, Message
from greengrocer.serving.reloading.reload import Change, Reloader
from greengrocer.serving.signals import on_signal


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
