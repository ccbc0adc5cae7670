"""Test engines that count their calls or block until released."""

import threading

from fake_engine import FakeEngine
from greengrocer.engines.engine import Inference
from greengrocer.imaging.geometry import Pixels


class CountingEngine(FakeEngine):
    """The fake engine, with a count of its calls."""

    calls = 0
    calls_alone = 0
    closed = False

    def infer(self, pixels: Pixels, alone: bool = False) -> Inference:
        """Answer, and count."""
        self.calls += 1
        self.calls_alone += alone
        return super().infer(pixels, alone)

    def close(self) -> None:
        """Note it."""
        self.closed = True


class HeldEngine(CountingEngine):
    """Answers only once ``release`` is set; ``busy`` is set while it works."""

    def hold(self) -> "HeldEngine":
        """Make the two events, and return the engine."""
        self.busy, self.release = threading.Event(), threading.Event()
        return self

    def infer(self, pixels: Pixels, alone: bool = False) -> Inference:
        """Wait, then answer."""
        self.busy.set()
        assert self.release.wait(60), "the test never let go"
        return super().infer(pixels, alone)
