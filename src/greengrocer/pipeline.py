"""The spine: a picture's bytes go in, a named answer comes out.

The service, ``greengrocer predict`` and evaluation all run this one method, each in whatever
thread it likes; the heavy parts release the GIL.
"""

from time import perf_counter
from typing import Protocol

from greengrocer.context import Context
from greengrocer.engines.engine import Engine
from greengrocer.imaging.decode import DecodeLimits, decode
from greengrocer.imaging.geometry import Geometry, Pixels, fit
from greengrocer.ranking import Answer, Labels, rank


class Observer(Protocol):
    """Whoever wants to know how long the stages take, in seconds; called from any thread."""

    def decoded(self, seconds: float) -> None:
        """A picture was decoded and fitted."""

    def inferred(self, seconds: float) -> None:
        """The model ran."""


class Pipeline:
    """Decode, fit, infer, rank: one model's way from a picture to an answer."""

    def __init__(
        self,
        engine: Engine,
        geometry: Geometry,
        labels: Labels,
        limits: DecodeLimits,
        observer: Observer | None = None,
    ) -> None:
        self.engine = engine
        self.geometry = geometry
        self.labels = labels
        self.limits = limits
        self.observer = observer

    def classify(self, picture: bytes, context: Context, top: int = 5) -> Answer:
        """The answer for one JPEG, PNG or WebP, with its ``top`` best classes.

        Raises a PictureRefused, DeadlineExceeded or Departed.
        """
        context.check()
        started = perf_counter()
        pixels = self._pixels(picture, context)
        decoded = perf_counter()
        context.check()
        inference = self.engine.infer(pixels[None])
        inferred = perf_counter()
        if self.observer:
            self.observer.decoded(decoded - started)
            self.observer.inferred(inferred - decoded)
        return rank(inference, 0, self.labels, top)

    def _pixels(self, picture: bytes, context: Context) -> Pixels:
        upright = decode(picture, self.geometry.size, self.limits, context.check)
        return fit(upright, self.geometry)
