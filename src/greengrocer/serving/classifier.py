"""The seam: an image's bytes in, its answer out, wherever the model may stand."""

import asyncio
from functools import partial
from time import perf_counter
from typing import NamedTuple, Protocol

import structlog

from greengrocer.context import Context
from greengrocer.errors import DeadlineExceeded, ImageRefused, NotReady, Overloaded
from greengrocer.imaging.decode import Picture
from greengrocer.pipeline import Pipeline
from greengrocer.ranking import Answer, Ask, Labels
from greengrocer.serving.pool import Pool
from greengrocer.serving.reloading.models import Models
from greengrocer.tracebacks import release_frames

NO_MEMORY_RETRY = 1  # seconds; what takes it is other images

log = structlog.get_logger("greengrocer.classifier")


class Served(NamedTuple):
    """An answer, and the seconds that a thread spent on it."""

    answer: Answer
    seconds: float


def serve(models: Models, picture: Picture, context: Context, ask: Ask) -> Served:
    """What the model that serves now answers, in this thread; raises a Refusal."""
    started = perf_counter()
    try:
        with models.taken() as pipeline:
            answer = pipeline.classify(picture, context, ask)
    except BaseException as error:
        release_frames(error)
        if isinstance(error, ImageRefused):
            error.seconds = perf_counter() - started
        if not isinstance(error, MemoryError):
            raise
        log.warning("no memory for an image", request_id=context.request_id)
        raise Overloaded("there is no memory for this image now", NO_MEMORY_RETRY) from error
    return Served(answer, perf_counter() - started)


class Classifier(Protocol):
    """Answers for images; local, or a stand-in for one in another process."""

    @property
    def labels(self) -> Labels:
        """The classes that answers are taken from; another model may come with others."""

    async def check(self) -> bool:
        """Whether an image that came now would be answered: asked of the model's process."""

    async def classify(self, picture: Picture, context: Context, ask: Ask) -> Served:
        """The answer; raises an ImageRefused, DeadlineExceeded, ClientDisconnected or NotReady."""

    def close(self) -> None:
        """Finish what was taken and give back threads and memory."""


class LocalClassifier:
    """Runs the pipeline in this process, on ``threads`` images at once."""

    def __init__(self, pipeline: Pipeline, threads: int) -> None:
        self.models = Models(pipeline)
        self.threads = threads
        self._pool = Pool(threads, "classify")
        self._open = True

    @property
    def labels(self) -> Labels:
        """The classes of the model that serves now."""
        return self.models.current.labels

    @property
    def healthy(self) -> bool:
        """True until closed."""
        return self._open

    async def check(self) -> bool:
        """It stands here."""
        return self.healthy

    async def classify(self, picture: Picture, context: Context, ask: Ask) -> Served:
        """The answer, from a thread of the pool; a deadline is kept even if the thread is not."""
        if not self._open:
            raise NotReady("the service is stopping")
        answer = self._pool.submit(partial(serve, self.models, picture, context, ask))
        patience = max(0.0, context.remaining())
        clock = asyncio.get_running_loop().call_later(patience, _expire, answer, context)
        try:
            return await answer
        except asyncio.CancelledError:
            context.cancel()
            raise
        finally:
            clock.cancel()

    def close(self) -> None:
        """Finish what was taken, then close the engines."""
        self._open = False
        self._pool.close()
        self.models.close()


def _expire(answer: "asyncio.Future[Served]", context: Context) -> None:
    if not answer.done():
        context.cancel()
        answer.set_exception(DeadlineExceeded("the deadline passed before an answer was ready"))
