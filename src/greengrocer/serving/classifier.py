"""The seam: a picture's bytes in, its answer out, wherever the model may stand."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import NamedTuple, Protocol

from greengrocer.context import Context
from greengrocer.errors import DeadlineExceeded, NotReady
from greengrocer.pipeline import Pipeline
from greengrocer.ranking import Answer, Labels
from greengrocer.serving.models import Models


class Served(NamedTuple):
    """An answer, and the seconds that a thread spent on it."""

    answer: Answer
    seconds: float


def serve(models: Models, picture: bytes, context: Context, top: int) -> Served:
    """What the model that serves now answers, in this thread; raises a Refusal."""
    started = perf_counter()
    with models.taken() as pipeline:
        answer = pipeline.classify(picture, context, top)
    return Served(answer, perf_counter() - started)


class Classifier(Protocol):
    """Answers for pictures; local, or a stand-in for one in another process."""

    @property
    def labels(self) -> Labels:
        """The classes that answers are taken from; another model may come with others."""

    @property
    def healthy(self) -> bool:
        """Whether a picture that came now would be answered."""

    async def classify(self, picture: bytes, context: Context, top: int) -> Served:
        """The answer; raises a PictureRefused, DeadlineExceeded, Departed or NotReady."""

    def close(self) -> None:
        """Finish what was taken and give back threads and memory."""


class LocalClassifier:
    """Runs the pipeline in this process, on as many threads as there are processors."""

    def __init__(self, pipeline: Pipeline, threads: int) -> None:
        self.models = Models(pipeline)
        self.threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="classify")
        self._open = True

    @property
    def labels(self) -> Labels:
        """The classes of the model that serves now."""
        return self.models.current.labels

    @property
    def healthy(self) -> bool:
        """True until closed."""
        return self._open

    async def classify(self, picture: bytes, context: Context, top: int) -> Served:
        """The answer, from a thread of the pool; a deadline is kept even if the thread is not."""
        if not self._open:
            raise NotReady("the service is stopping")
        future = asyncio.get_running_loop().run_in_executor(
            self._pool, serve, self.models, picture, context, top
        )
        try:
            async with asyncio.timeout(max(0.0, context.remaining())):
                return await future
        except TimeoutError:
            context.cancel()
            raise DeadlineExceeded("the deadline passed before an answer was ready") from None
        except asyncio.CancelledError:
            context.cancel()
            raise

    def close(self) -> None:
        """Finish what was taken, then close the engines."""
        self._open = False
        self._pool.shutdown(wait=True)
        self.models.close()
