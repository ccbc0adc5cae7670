"""Dynamic batching: images of many threads run together, on an engine that is faster so."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, NamedTuple, Protocol, TypeVar

import numpy as np

from greengrocer.context import Context
from greengrocer.engines.engine import Engine, Inference
from greengrocer.errors import Refusal
from greengrocer.imaging.geometry import Pixels
from greengrocer.tracebacks import release_frames

LARGEST_ON_GPU = 32  # images, unless a setting says otherwise
# Called with the seconds that each image of a batch has waited in the queue.
Observe = Callable[[Sequence[float]], None]


class BatchLimits(NamedTuple):
    """At most ``largest`` images run together; the first waits ``wait`` seconds for more."""

    largest: int
    wait: float = 0.0


class Waiting(Protocol):
    """An image in the queue. Times are of one monotonic clock, in seconds."""

    @property
    def arrived(self) -> float:
        """When it arrived."""

    @property
    def deadline(self) -> float:
        """When its answer becomes useless."""

    @property
    def cancelled(self) -> bool:
        """Whether its request was cancelled."""


W = TypeVar("W", bound=Waiting)


class Turn(NamedTuple, Generic[W]):
    """What to do with the queue's images; each list is in the queue's order."""

    take: list[W]  # to run together, now
    drop: list[W]  # past their deadline, or cancelled
    keep: list[W]  # to stay in the queue
    look_again: float | None  # when ``keep`` runs at the latest; None: when an image arrives


def next_turn(queue: Sequence[W], limits: BatchLimits, now: float) -> Turn[W]:
    """Decide which images of ``queue`` run together now, the oldest first, and which wait.

    ``queue`` is in the order of arrival. Images wait as long as ``limits`` allow, but not once the
    batch is full, nor where a deadline would pass in the meantime.
    """
    alive: list[W] = []
    drop: list[W] = []
    for picture in queue:  # read each once: it may be cancelled at any time
        (drop if picture.cancelled or picture.deadline <= now else alive).append(picture)
    if not alive:
        return Turn([], drop, [], None)
    end = alive[0].arrived + limits.wait
    full = len(alive) >= limits.largest
    if full or now >= end or min(picture.deadline for picture in alive) <= end:
        return Turn(alive[: limits.largest], drop, alive[limits.largest :], None)
    return Turn([], drop, alive, end)


class Batcher:
    """A queue in front of ``engine``, and the one thread that calls it.

    While a batch runs, the next one fills. Without images the thread sleeps.
    """

    def __init__(
        self, engine: Engine, limits: BatchLimits, observe: Observe = lambda _: None
    ) -> None:
        self.engine = engine
        self.limits = limits
        self.observe = observe
        self._queue: list[_Picture] = []
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="batches", daemon=True)
        self._thread.start()

    def infer(self, pixels: Pixels, context: Context) -> Inference:
        """The inference, N = 1, for uint8 pixels [H, W, 3]; the calling thread waits for it.

        Raises DeadlineExceeded or ClientDisconnected where that happens in the queue, and what the
        engine raises for this image when it runs alone.
        """
        picture = _Picture(pixels, context)
        with self._changed:
            assert not self._closed, "a closed batcher takes nothing"
            self._queue.append(picture)
            self._changed.notify()
        return picture.answer.result()

    def close(self) -> None:
        """Finish what is queued, and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while batch := self._next_batch():
            try:
                now = time.monotonic()
                self.observe([now - picture.arrived for picture in batch])
                self._answer(batch)
            # Of any kind: callers wait for it, and this one thread must run the next batch.
            except Exception as error:
                release_frames(error)
                for picture in batch:
                    if not picture.answer.done():
                        picture.answer.set_exception(error)

    def _next_batch(self) -> "list[_Picture]":
        """Wait for the next batch; empty once the batcher is closed and its queue is empty."""
        with self._changed:
            while True:
                now = time.monotonic()
                turn = next_turn(self._queue, self.limits, now)
                self._queue = turn.keep
                for picture in turn.drop:
                    picture.drop()
                if turn.take:
                    return turn.take
                if self._closed and not self._queue:
                    return []
                self._changed.wait(None if turn.look_again is None else turn.look_again - now)

    def _answer(self, batch: "Sequence[_Picture]") -> None:
        try:
            together = self.engine.infer(np.stack([picture.pixels for picture in batch]))
        except Exception as error:
            release_frames(error)
            if len(batch) == 1:
                batch[0].answer.set_exception(error)
                return
            # The cause is one image, or their number: run each alone, for its own answer or error.
            for picture in batch:
                self._answer([picture])
            return
        for place, picture in enumerate(batch):
            picture.answer.set_result(together.only(place))


class _Picture:
    """One image in the queue, and the future that its thread waits for."""

    def __init__(self, pixels: Pixels, context: Context) -> None:
        self.pixels = pixels
        self.context = context
        self.arrived = time.monotonic()
        self.answer: Future[Inference] = Future()

    @property
    def deadline(self) -> float:
        return self.context.deadline

    @property
    def cancelled(self) -> bool:
        return self.context.cancelled

    def drop(self) -> None:
        """Raise the reason why it does not run in its thread."""
        try:
            self.context.check()
        except Refusal as refusal:
            release_frames(refusal)
            self.answer.set_exception(refusal)
