"""Take orders to change the models: as messages on the control socket, and as SIGHUP."""

import asyncio
import signal
import socket
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import structlog

from greengrocer.errors import UnknownModel, UsageError
from greengrocer.model_names import name_of
from greengrocer.serving.reloading.control import ControlServer, Message
from greengrocer.serving.reloading.folder_watch import FolderWatch
from greengrocer.serving.reloading.manager import Change, ModelManager
from greengrocer.serving.shadows import Comparison
from greengrocer.serving.signals import on_signal
from greengrocer.serving.splits import check_part

log = structlog.get_logger("greengrocer.models")


class Orders:
    """Changes the models on messages and on SIGHUP, inside its ``async with`` block.

    With a folder to ``watch`` it also serves what appears there. Raises UsageError where that is
    no folder.
    """

    def __init__(
        self, manager: ModelManager, listener: socket.socket | None, watch: Path | None = None
    ) -> None:
        self.manager = manager
        self.listener = listener
        self.watch = None if watch is None else FolderWatch(manager, watch)
        self._stack = AsyncExitStack()
        self._tasks: set[asyncio.Task[None]] = set()  # the loop itself keeps no task alive

    async def __aenter__(self) -> None:
        self._stack.enter_context(on_signal(signal.SIGHUP, self._on_sighup))
        if self.listener is not None:
            await self._stack.enter_async_context(ControlServer(self.listener, self.obey))
        if self.watch is not None:
            await self._stack.enter_async_context(self.watch)

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def obey(self, message: Message) -> Message:
        """The answer to ``message``: the old and the new model, or why nothing was changed."""
        if message == {"order": "list"}:
            return self._listed()
        if message == {"order": "compare"}:
            return self._compared()
        try:
            match message:
                case {"order": "split", "parts": dict() as parts, **rest} if not rest:
                    checked = await self.manager.split(_whole(parts))
                    warning = self.manager.models.other_classes([key for key, _ in checked])
                    return {"ok": True, "parts": checked, "warning": warning}
                case {"order": "shadow", "model": str() as model, "part": part, **rest} if not rest:
                    await self.manager.shadow(model, _whole({model: part})[model])
                    compared = [name_of(model), model] if part else []
                    warning = self.manager.models.other_classes(compared)
                    return {"ok": True, "warning": warning}
            old, new = await self._change(message)
        except (UsageError, UnknownModel) as error:
            return {"ok": False, "error": str(error)}
        return {"ok": True, "old": old and old._asdict(), "new": new and new._asdict()}

    async def _change(self, message: Message) -> Change:
        match message:
            case {"order": "reload", "bundle": str() | None as bundle, **rest}:
                return await self.manager.reload(bundle, _model(rest))
            case {"order": "rollback", **rest}:
                return await self.manager.roll_back(_model(rest))
            case {"order": "load", "bundle": str() | None as bundle, **rest}:
                return await self.manager.add(_model(rest), bundle)
            case {"order": "unload", "model": str() as model, **rest} if not rest:
                return await self.manager.remove(model)
            case {"order": "promote", "model": str() as model, **rest} if not rest:
                return await self.manager.promote(model)
            case {"order": "default", "model": str() as model, **rest} if not rest:
                return await self.manager.make_default(model)
        raise _unknown()

    def _listed(self) -> Message:
        """All models, those that do not serve among them."""
        catalogue, state = self.manager.models.catalogue, self.manager.state
        parts = dict(part for parts in state.splits.values() for part in parts)
        loaded = [
            {
                "model": model.key,
                "version": model.labels.model.version,
                "state": "default" if model.key == catalogue.default else "loaded",
                "part": _part_of(model.key, parts, state.shadows),
                "bundle": state.models[model.key].current.bundle,
                "reason": "",
            }
            for model in catalogue.models
        ]
        absent = [
            {
                "model": key,
                "version": "",
                "state": str(each.absence),
                "part": "",
                "bundle": each.origin.bundle,
                "reason": each.reason,
            }
            for key, each in state.absent.items()
        ]
        return {"ok": True, "models": [*loaded, *absent]}

    def _compared(self) -> Message:
        """What models and the versions beside them answered to the same images, in means."""
        shadows = self.manager.shadows
        comparisons = {} if shadows is None else shadows.comparisons
        return {"ok": True, "models": [_means(*each) for each in comparisons.items()]}

    def _on_sighup(self) -> None:
        task = asyncio.get_running_loop().create_task(self._reload_quietly())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reload_quietly(self) -> None:
        """Read the bundles of all models again, one after the other."""
        for key in tuple(self.manager.state.models):
            try:
                await self.manager.reload(key=key)
            except UsageError:  # the manager has logged it
                pass
            except Exception:  # it must not keep the others from being read
                log.exception("reload failed", model=key)


def _part_of(key: str, parts: Mapping[str, int], shadows: Mapping[str, int]) -> str:
    """Which part of the requests a model gets, and of the images as copies; empty for all."""
    requests = [f"{parts[key]}%"] if key in parts else []
    copies = [f"{shadows[key]}% copies"] if key in shadows else []
    return ", ".join(requests + copies)


def _means(model: str, comparison: Comparison) -> Message:
    images = comparison.images or 1
    return {
        "model": model,
        "shadow": comparison.shadow,
        "versions": comparison.versions,
        "part": comparison.part,
        "images": comparison.images,
        "skipped": comparison.skipped,
        "agreement": comparison.same / images,
        "confidence": [comparison.confidence / images, comparison.shadow_confidence / images],
        "seconds": [comparison.seconds / images, comparison.shadow_seconds / images],
    }


def _model(rest: Message) -> str | None:
    """The model that an order names, None for the default; raises UsageError for anything else."""
    match rest:
        case {"model": str() as model, **more} if not more:
            return model
        case {}:
            if not rest:
                return None
    raise _unknown()


def _whole(parts: Message) -> dict[str, int]:
    """The parts of a split, whole numbers from 0 to 100; raises UsageError."""
    for part in parts.values():
        if type(part) is not int:
            raise _unknown()
        check_part(part)
    return parts


def _unknown() -> UsageError:
    return UsageError(
        "the order is unknown: send list, reload or load with a bundle, rollback, unload, default, "
        "promote or shadow with a model, split with parts, or compare"
    )
