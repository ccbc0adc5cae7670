"""The interface to the model: an image's bytes in, an answer out, from whichever process."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Protocol

import structlog

from greengrocer.context import Context
from greengrocer.errors import DeadlineExceeded, NotReady
from greengrocer.imaging.decode import Picture
from greengrocer.ranking import AnswerOptions, ModelLabels
from greengrocer.serving.catalogue import Catalogue
from greengrocer.serving.hang_watch import HUNG_GRACE, HangWatch
from greengrocer.serving.memory_turns import in_turn
from greengrocer.serving.models import Models
from greengrocer.serving.pool import Pool
from greengrocer.serving.served import Served, serve
from greengrocer.serving.watchers import Watchers

CLOSE_SECONDS = 5.0  # for the threads, whose images nobody waits for any more

OnAnswer = Callable[[Picture, str | None, Served], None]  # with the model that was asked for

log = structlog.get_logger("greengrocer.classifier")


class Classifier(Protocol):
    """Classifies images: in this process, or through the engine process."""

    @property
    def catalogue(self) -> Catalogue:
        """The models that are loaded now."""

    @property
    def watchers(self) -> Watchers:
        """Told of each other catalogue, and where the model's process dies or is replaced."""

    @property
    def labels(self) -> ModelLabels:
        """The classes of the default model; a reload may change them."""

    @property
    def hung(self) -> bool:
        """Whether no image will be answered any more: only a restart of this process helps."""

    async def check(self) -> bool:
        """Whether an image would be answered now; asks the model's process."""

    async def classify(
        self,
        picture: Picture,
        context: Context,
        options: AnswerOptions,
        model: str | None = None,
    ) -> Served:
        """The answer of the model with this key, by default the default model.

        Raises an ImageRefused, NoEvidence, InvalidAnswer, Overloaded (too little memory),
        DeadlineExceeded, ClientDisconnected, UnknownModel or NotReady.
        """

    def close(self) -> bool:
        """Finish the images that were accepted, then free threads and memory.

        False where a thread hangs: nothing was freed, and the process must end by ``os._exit``.
        """


class LocalClassifier:
    """Classifies in this process, ``threads`` images at once.

    A thread that is at one image for longer than ``patience`` seconds hangs.
    """

    def __init__(self, models: Models, threads: int, patience: float = HUNG_GRACE) -> None:
        self.models = models
        self.threads = threads
        # called with each image that was answered, after its answer
        self.answered: OnAnswer = lambda *_: None
        self.working = 0  # images that are not answered yet, copies for a comparison among them
        self._pool = Pool(threads, "classify")
        self._watch = HangWatch(self._pool.turns, patience, self._tell)
        self._pool.submitted = self._watch.submitted
        self._open = True

    @property
    def catalogue(self) -> Catalogue:
        """The models that are loaded now."""
        return self.models.catalogue

    @property
    def watchers(self) -> Watchers:
        """Told of each other catalogue."""
        return self.models.watchers

    @property
    def labels(self) -> ModelLabels:
        """The classes of the default model."""
        return self.models.current.labels

    @property
    def healthy(self) -> bool:
        """Whether it is open, and a thread works."""
        return self._open and not self.hung

    @property
    def hung(self) -> bool:
        """Whether all threads hang."""
        return self._watch.hung() == self.threads

    async def check(self) -> bool:
        """Whether it is healthy: the model is in this process."""
        return self.healthy

    async def classify(
        self,
        picture: Picture,
        context: Context,
        options: AnswerOptions,
        model: str | None = None,
    ) -> Served:
        """The answer, from a thread of the pool; it waits no longer than the deadline."""
        if not self._open:
            raise NotReady("the service is stopping")
        work = partial(serve, self.models, picture, context, options, model)
        context.begin("queue")
        self.working += 1
        try:
            served = await in_turn(partial(self._work, work, context), context)
        except asyncio.CancelledError:
            context.cancel()
            raise
        finally:
            self.working -= 1
        asyncio.get_running_loop().call_soon(self.answered, picture, model, served)
        return served

    async def _work(self, work: Callable[[], Served], context: Context) -> Served:
        answer = self._pool.submit(work)
        patience = max(0.0, context.remaining())
        clock = asyncio.get_running_loop().call_later(patience, _expire, answer, context)
        try:
            return await answer
        finally:
            clock.cancel()

    async def run(self, work: Callable[[], Served], context: Context) -> Served:
        """Run ``work`` in a thread of the pool, whatever waits; raises what it raises."""
        del context  # the work looks at it
        self.working += 1
        try:
            return await self._pool.submit(work)
        finally:
            self.working -= 1

    def idle(self) -> bool:
        """Whether a thread has nothing to do."""
        return self._open and self.working < self.threads

    def close(self) -> bool:
        """Finish the images that were accepted, then close the engines; False if a thread hangs."""
        self._open = False
        if not self._pool.close(CLOSE_SECONDS):
            log.error("stopped while threads hang", models=self.models.busy())
            return False
        self.models.close()
        return True

    def _tell(self, hung: int) -> None:
        """Log that so many threads hang now."""
        self.watchers.wake()
        if hung:
            log.critical(
                "the engine hangs" if self.hung else "a thread hangs",
                models=self.models.busy(),
                threads=f"{hung} of {self.threads}",
            )
        else:
            log.warning("no thread hangs any more")


def _expire(answer: "asyncio.Future[Served]", context: Context) -> None:
    if not answer.done():
        context.cancel()
        answer.set_exception(DeadlineExceeded())
