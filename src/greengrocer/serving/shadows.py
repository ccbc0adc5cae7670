"""Copy some images of a model to another version, after they were answered, to compare the two.

A copy takes only what is left over: it runs where a thread is idle, one at a time, and nobody waits
for it. Where no thread is idle, the image is skipped. All of it runs on the event loop.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import structlog

from greengrocer.context import Context
from greengrocer.errors import Overloaded, Refusal
from greengrocer.imaging.budget import MustWait
from greengrocer.imaging.decode import Picture
from greengrocer.model_names import name_of
from greengrocer.ranking import DEFAULT_OPTIONS
from greengrocer.serving.models import Models
from greengrocer.serving.served import Served, serve
from greengrocer.serving.splits import ALL
from greengrocer.telemetry.metrics import Metrics

SECONDS = 10.0  # for a copy, from when it begins

log = structlog.get_logger("greengrocer.models")


@dataclass
class Comparison:
    """What a model and the version beside it answered to the same images, in sums."""

    shadow: str  # the key of the version beside
    part: int  # of the model's images, in per cent
    versions: tuple[str, str]  # of the model and of the one beside it
    images: int = 0
    same: int = 0  # that both named alike
    skipped: int = 0  # because no thread was idle, or no memory was free
    confidence: float = 0.0  # of the model
    shadow_confidence: float = 0.0
    seconds: float = 0.0  # of a thread, of the model
    shadow_seconds: float = 0.0
    due: int = 0  # per cent of an image, until the next copy

    def is_due(self) -> bool:
        """Whether the next image is to be copied."""
        self.due += self.part
        if self.due < ALL:
            return False
        self.due -= ALL
        return True

    def add(self, served: Served, copied: Served) -> bool:
        """Count an image; returns whether both named it alike."""
        (name, confidence), (shadow_name, shadow_confidence) = (
            each.answer.top[0] for each in (served, copied)
        )
        self.images += 1
        self.same += name == shadow_name
        self.confidence += confidence
        self.shadow_confidence += shadow_confidence
        self.seconds += served.seconds
        self.shadow_seconds += copied.seconds
        return name == shadow_name


class Shadows:
    """Offers the images of models to the versions beside them.

    ``run`` runs a function in a thread, which is to stop at the deadline of a context, and ``idle``
    says whether a thread is idle and no image waits.
    """

    def __init__(
        self,
        models: Models,
        metrics: Metrics,
        run: Callable[[Callable[[], Served], Context], Awaitable[Served]],
        idle: Callable[[], bool],
    ) -> None:
        self.models = models
        self.metrics = metrics
        self.run = run
        self.idle = idle
        self.comparisons: dict[str, Comparison] = {}  # by the model's key
        self._copying: asyncio.Task[None] | None = None

    def cast(self, shadow: str, part: int) -> None:
        """Copy a part of a model's images, in per cent, to the version beside it; 0 ends that.

        The comparison begins again: call it also once one of the two was replaced.
        """
        model = name_of(shadow)
        self.comparisons.pop(model, None)
        if part:
            first, second = (self.models.of(key).labels.model.version for key in (model, shadow))
            self.comparisons[model] = Comparison(shadow, part, (first, second))

    def offer(self, picture: Picture, model: str | None, served: Served) -> None:
        """Copy an image that was just answered, if its turn has come and a thread is idle."""
        if not self.comparisons:
            return
        key = model or self.models.default
        comparison = self.comparisons.get(key)
        if comparison is None or served.answer.model != (key, comparison.versions[0]):
            return  # the second: another version has answered, which was replaced meanwhile
        if not comparison.is_due():
            return
        if self._copying is not None or not self.idle():
            self._skip(key, comparison)
            return
        copy = self._copy(picture, key, comparison, served)
        self._copying = asyncio.get_running_loop().create_task(copy)

    def _skip(self, key: str, comparison: Comparison) -> None:
        comparison.skipped += 1
        self.metrics.shadowed(key, comparison.shadow, "skipped")

    async def _copy(
        self, picture: Picture, key: str, comparison: Comparison, served: Served
    ) -> None:
        shadow = comparison.shadow
        context = Context("shadow", SECONDS)
        context.waits_in_thread = False
        try:
            asked = (self.models, picture, context, DEFAULT_OPTIONS, shadow)
            copied = await self.run(partial(serve, *asked), context)
        except MustWait as wait:
            wait.reservation.abandon()
            self._skip(key, comparison)
        except Overloaded:
            self._skip(key, comparison)
        except Exception as error:
            if not isinstance(error, Refusal):
                log.exception("shadow failed", model=shadow)
            self.metrics.shadowed(key, shadow, "failed")
        else:
            same = comparison.add(served, copied)
            self.metrics.shadowed(key, shadow, "same" if same else "other")
            for each, found in ((key, served), (shadow, copied)):
                self.metrics.compared(key, each, found.answer.top[0].confidence, found.seconds)
        finally:
            self._copying = None
