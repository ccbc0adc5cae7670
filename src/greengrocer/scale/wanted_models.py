"""The models that ``user_config`` names, and how a replica comes to serve them."""

from collections.abc import Mapping
from itertools import chain
from typing import NamedTuple, Self

import structlog

from greengrocer.errors import UsageError
from greengrocer.model_names import check_key, parse_source
from greengrocer.read_settings import check_bundles
from greengrocer.serving.reloading.manager import ModelManager
from greengrocer.serving.reloading.origin import Origin

log = structlog.get_logger("greengrocer.replica")


class WantedModels(NamedTuple):
    """The default model's bundle, perhaps as ``shop=fast``, and those of others by their names."""

    bundle: str
    models: Mapping[str, str]

    @classmethod
    def parsed(cls, user_config: object) -> Self:
        """What ``user_config`` names; raises UsageError where it is anything else."""
        match user_config:
            case {"bundle": str(bundle), **more} if bundle and more.keys() <= {"models"}:
                models = more.get("models", {})
                if isinstance(models, dict) and all(map(_is_text, chain(*models.items()))):
                    for key in models:
                        check_key(key)
                    wanted = cls(bundle, models)
                    check_bundles(wanted.bundles)
                    return wanted
        raise UsageError(
            f"user_config is {user_config!r}: it must name a bundle, perhaps models, as "
            "quick: fast, and nothing else"
        )

    @classmethod
    def of(cls, bundles: tuple[str, ...]) -> Self:
        """What the setting ``bundles`` names; raises UsageError where a further one has no name."""
        first, *others = bundles
        models = {}
        for text in others:
            key, bundle = parse_source(text)
            if key is None:
                raise UsageError(f"setting bundles: {text} needs a name here, as quick=fast")
            models[key] = bundle
        return cls(first, models)

    @property
    def bundles(self) -> tuple[str, ...]:
        """The same as the setting ``bundles`` has it."""
        return (self.bundle, *(f"{key}={bundle}" for key, bundle in self.models.items()))


async def change_models(
    manager: ModelManager, served: WantedModels, wanted: WantedModels
) -> WantedModels:
    """Load, change and unload models until the ``wanted`` ones serve; returns those that do.

    What is refused leaves its model as it is, and is logged; the other models are changed.
    """
    bundle, models = served.bundle, dict(served.models)
    if wanted.bundle != bundle:
        try:
            await manager.reload(Origin.parsed(wanted.bundle))
            bundle = wanted.bundle
        except UsageError as refused:
            log.warning("bundle kept", bundle=bundle, reason=str(refused))
    gone = [key for key in models if key not in wanted.models]
    for key in (*gone, *wanted.models):
        before, new = models.get(key), wanted.models.get(key)
        try:
            await _change(manager, key, before, new)
        except UsageError as refused:
            log.warning("bundle kept", model=key, bundle=before, reason=str(refused))
            continue
        if new is None:
            del models[key]
        else:
            models[key] = new
    return WantedModels(bundle, models)


async def _change(manager: ModelManager, key: str, before: str | None, new: str | None) -> None:
    """Have a model serve the bundle ``new``, or unload it; raises UsageError."""
    is_loaded = key in manager.state.models  # or it could not be loaded when the replica started
    if new is None:
        if is_loaded:
            await manager.remove(key)
    elif not is_loaded:
        await manager.add(key, new)
    elif new != before:
        await manager.reload(new, key)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""
