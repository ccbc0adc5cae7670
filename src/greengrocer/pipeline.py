"""The inference pipeline: an image's bytes go in, a ranked answer comes out.

The service, ``greengrocer predict`` and evaluation all run this one method, from any thread: the
heavy parts release the GIL.
"""

import threading
from dataclasses import replace
from typing import Protocol, Self

from greengrocer.context import Context
from greengrocer.engines.batcher import Batcher
from greengrocer.engines.engine import Engine, Inference
from greengrocer.imaging.budget import DecodeBudget
from greengrocer.imaging.decode import DecodeLimits, DecodePlan, Picture, plan_decode
from greengrocer.imaging.fitted import plan_fitted
from greengrocer.imaging.geometry import Geometry, Pixels, fit, seen_box, seen_share
from greengrocer.imaging.overlay import overlay_png
from greengrocer.ranking import DEFAULT_OPTIONS, Answer, AnswerOptions, ModelLabels, rank

OVERLAY_SIZE = 1024, 1024  # pixels, the largest


class Observer(Protocol):
    """Receives the duration of each stage, in seconds; called from any thread."""

    def decoded(self, seconds: float) -> None:
        """An image was decoded and fitted."""

    def inferred(self, seconds: float) -> None:
        """The model ran; with the wait for a batch."""


class Pipeline:
    """Decode, fit, infer, rank: the path from an image to an answer, for one model.

    With a ``batcher`` for ``engine``, images of several threads run on it together. ``memory``
    is what they may take together while they are decoded; another pipeline may share it.
    """

    def __init__(
        self,
        engine: Engine,
        geometry: Geometry,
        labels: ModelLabels,
        limits: DecodeLimits,
        observer: Observer | None = None,
        batcher: Batcher | None = None,
        memory: DecodeBudget | None = None,
    ) -> None:
        self.engine = engine
        self.geometry = geometry
        self.labels = labels
        self.limits = limits
        self.observer = observer
        self.batcher = batcher
        self.memory = memory or DecodeBudget(limits.bytes)
        self._in_flight = InFlightCount()

    @property
    def largest_batch(self) -> int:
        """How many images may run on the engine together."""
        return self.batcher.limits.largest if self.batcher else 1

    def classify(
        self, image: Picture, context: Context, options: AnswerOptions = DEFAULT_OPTIONS
    ) -> Answer:
        """The answer for one image, with the parts that ``options`` asks for.

        Raises an ImageRefused, NoEvidence, InvalidAnswer, DeadlineExceeded or ClientDisconnected,
        MemoryError; and MustWait or Overloaded, where ``context`` may not wait in this thread.
        """
        if options.overlay:
            self.labels.check_evidence()
        context.check()
        with self._in_flight.image() as place:
            plan = plan_fitted(image, self.geometry, self.limits)
            needed, below = plan.memory_bytes, None
            if options.overlay:
                below = plan_decode(image, OVERLAY_SIZE, self.limits)
                needed = max(needed, below.memory_bytes)
            memory = self.memory.reserve(needed, context)
            with memory:
                started = context.begin("decode")
                upright = plan.decode(context.check)
                box = seen_share(upright.size, self.geometry) if options.evidence else None
                pixels = fit(upright, self.geometry)
                del upright
                decoded = context.begin("infer")
                if below is None:
                    memory.release()
                context.check()
                inference = self._infer(pixels, context, place.alone)
                inferred = context.begin("rank")
                if self.observer:
                    self.observer.decoded(decoded - started)
                    self.observer.inferred(inferred - decoded)
                answer = rank(inference, 0, self.labels, options)
                if box is not None and answer.evidence is not None:
                    answer = replace(answer, evidence_box=box)
                if below is not None:
                    answer = self._overlaid(below, answer, context)
        context.begin("end")
        return answer

    def close(self) -> None:
        """Release the engine's memory and all threads; no image may be in flight."""
        if self.batcher:
            self.batcher.close()
        self.engine.close()

    def _infer(self, pixels: Pixels, context: Context, alone: bool) -> Inference:
        if self.batcher:
            return self.batcher.infer(pixels, context)
        return self.engine.infer(pixels[None], alone)

    def _overlaid(self, below: DecodePlan, answer: Answer, context: Context) -> Answer:
        """``answer`` with its overlay, on the image decoded again at a larger size."""
        context.check()
        context.begin("overlay")
        assert answer.evidence is not None
        image = below.decode(context.check)
        image.thumbnail(OVERLAY_SIZE)
        box = seen_box(image.size, self.geometry)
        return replace(answer, overlay=overlay_png(image, answer.evidence, box))


class InFlightCount:
    """Counts the images that are being classified now, each in a thread of its own."""

    def __init__(self) -> None:
        self.images = 0
        self.lock = threading.Lock()

    def image(self) -> "InFlightImage":
        """One more image, counted while its ``with`` block runs."""
        return InFlightImage(self)


class InFlightImage:
    """One image that is being classified."""

    __slots__ = ("_arrived_alone", "_count")

    def __init__(self, count: InFlightCount) -> None:
        self._count = count
        self._arrived_alone = False

    @property
    def alone(self) -> bool:
        """Whether no other image is in flight, and none was when this one arrived.

        Under load one image may be alone for an instant, between two of another thread. To be
        alone at both moments is then very unlikely.
        """
        return self._arrived_alone and self._count.images == 1

    def __enter__(self) -> Self:
        with self._count.lock:
            self._count.images += 1
            self._arrived_alone = self._count.images == 1
        return self

    def __exit__(self, *_: object) -> None:
        with self._count.lock:
            self._count.images -= 1
