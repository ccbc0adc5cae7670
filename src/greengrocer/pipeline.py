"""The inference pipeline: an image's bytes go in, a ranked answer comes out.

The service, ``greengrocer predict`` and evaluation all run this one method, each in whatever
thread it likes; the heavy parts release the GIL.
"""

from dataclasses import replace
from time import perf_counter
from typing import Protocol

from greengrocer.context import Context
from greengrocer.engines.batcher import Batcher
from greengrocer.engines.engine import Engine, Inference
from greengrocer.engines.in_flight import InFlightCount
from greengrocer.imaging.budget import DecodeBudget
from greengrocer.imaging.decode import DecodeLimits, Picture, plan_decode
from greengrocer.imaging.fitted import plan_fitted
from greengrocer.imaging.geometry import Geometry, Pixels, fit, seen_box, seen_share
from greengrocer.imaging.overlay import overlay_png
from greengrocer.ranking import ASK, Answer, Ask, Labels, rank

OVERLAY_SIZE = 1024, 1024  # pixels, the largest


class Observer(Protocol):
    """Receives the duration of each stage, in seconds; called from any thread."""

    def decoded(self, seconds: float) -> None:
        """An image was decoded and fitted."""

    def inferred(self, seconds: float) -> None:
        """The model ran; with the wait for a batch."""


class Pipeline:
    """Decode, fit, infer, rank: one model's way from an image to an answer.

    With a ``batcher`` of ``engine``'s, images of several threads run on it together. ``memory``
    is what they may take together while they are decoded; another pipeline may share it.
    """

    def __init__(
        self,
        engine: Engine,
        geometry: Geometry,
        labels: Labels,
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

    def classify(self, picture: Picture, context: Context, ask: Ask = ASK) -> Answer:
        """The answer for one image, with what ``ask`` wants of it.

        Raises an ImageRefused, DeadlineExceeded, ClientDisconnected or NoEvidence.
        """
        if ask.overlay:
            self.labels.check_evidence()
        context.check()
        with self._in_flight.image() as image:
            plan = plan_fitted(picture, self.geometry, self.limits)
            with self.memory.reserve(plan.memory_bytes, context):
                started = perf_counter()
                upright = plan.decode(context.check)
                box = seen_share(upright.size, self.geometry) if ask.evidence else None
                pixels = fit(upright, self.geometry)
                del upright
                decoded = perf_counter()
            context.check()
            inference = self._infer(pixels, context, image.alone)
            inferred = perf_counter()
            if self.observer:
                self.observer.decoded(decoded - started)
                self.observer.inferred(inferred - decoded)
            answer = rank(inference, 0, self.labels, ask)
            if box is not None and answer.evidence is not None:
                answer = replace(answer, evidence_box=box)
            return self._overlaid(picture, answer, context) if ask.overlay else answer

    def close(self) -> None:
        """Give back the engine's memory and all threads; no image may be on its way."""
        if self.batcher:
            self.batcher.close()
        self.engine.close()

    def _infer(self, pixels: Pixels, context: Context, alone: bool) -> Inference:
        if self.batcher:
            return self.batcher.infer(pixels, context)
        return self.engine.infer(pixels[None], alone)

    def _overlaid(self, picture: Picture, answer: Answer, context: Context) -> Answer:
        """``answer`` with its overlay, on the image decoded again at a larger size."""
        context.check()
        assert answer.evidence is not None
        plan = plan_decode(picture, OVERLAY_SIZE, self.limits)
        with self.memory.reserve(plan.memory_bytes, context):
            below = plan.decode(context.check)
            below.thumbnail(OVERLAY_SIZE)
            box = seen_box(below.size, self.geometry)
        return replace(answer, overlay=overlay_png(below, answer.evidence, box))
