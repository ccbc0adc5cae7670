"""The interface to the model: an image's bytes in, an answer out, from whichever process."""

import asyncio
from functools import partial
from time import perf_counter
from typing import NamedTuple, Protocol

import structlog

from greengrocer.context import Context
from greengrocer.errors import DeadlineExceeded, ImageRefused, NotReady, Overloaded
from greengrocer.imaging.decode import Picture
from greengrocer.pipeline import Pipeline
from greengrocer.ranking import Answer, AnswerOptions, ModelLabels
from greengrocer.serving.pool import Pool
from greengrocer.serving.reloading.models import Models
from greengrocer.tracebacks import release_frames

NO_MEMORY_RETRY = 1  # seconds; other images use the memory, and soon free it

log = structlog.get_logger("greengrocer.classifier")


class Served(NamedTuple):
    """An answer, and the seconds that a thread spent on it."""

    answer: Answer
    seconds: float


def serve(models: Models, picture: Picture, context: Context, options: AnswerOptions) -> Served:
    """The answer of the current model, computed in this thread; raises a Refusal."""
    started = perf_counter()
    try:
        with models.taken() as pipeline:
            answer = pipeline.classify(picture, context, options)
    except BaseException as error:
        release_frames(error)
        if isinstance(error, ImageRefused):
            error.seconds = perf_counter() - started
        if not isinstance(error, MemoryError):
            raise
        log.warning("not enough memory for an image", request_id=context.request_id)
        raise Overloaded(
            "not enough memory for this image: send it again later", NO_MEMORY_RETRY
        ) from error
    return Served(answer, perf_counter() - started)


class Classifier(Protocol):
    """Classifies images: in this process, or through the engine process."""

    @property
    def labels(self) -> ModelLabels:
        """The classes of the current model; a reload may change them."""

    async def check(self) -> bool:
        """Whether an image would be answered now; asks the model's process."""

    async def classify(self, picture: Picture, context: Context, options: AnswerOptions) -> Served:
        """The answer; raises an ImageRefused, DeadlineExceeded, ClientDisconnected or NotReady."""

    def close(self) -> None:
        """Finish the images that were accepted, then free threads and memory."""


class LocalClassifier:
    """Classifies in this process, ``threads`` images at once."""

    def __init__(self, pipeline: Pipeline, threads: int) -> None:
        self.models = Models(pipeline)
        self.threads = threads
        self._pool = Pool(threads, "classify")
        self._open = True

    @property
    def labels(self) -> ModelLabels:
        """The classes of the current model."""
        return self.models.current.labels

    @property
    def healthy(self) -> bool:
        """True until closed."""
        return self._open

    async def check(self) -> bool:
        """Whether it is open: the model is in this process."""
        return self.healthy

    async def classify(self, picture: Picture, context: Context, options: AnswerOptions) -> Served:
        """The answer, from a thread of the pool; it waits no longer than the deadline."""
        if not self._open:
            raise NotReady("the service is stopping")
        answer = self._pool.submit(partial(serve, self.models, picture, context, options))
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
        """Finish the images that were accepted, then close the engines."""
        self._open = False
        self._pool.close()
        self.models.close()


def _expire(answer: "asyncio.Future[Served]", context: Context) -> None:
    if not answer.done():
        context.cancel()
        answer.set_exception(
            DeadlineExceeded(
                "the deadline passed before an answer was ready: retry, or allow more time"
            )
        )
