"""The fake engine, but for images of some grey levels: they crash, hang, fail or slow it."""

import os
import resource
import threading
from pathlib import Path

from fake_engine import FakeEngine
from greengrocer.engines.engine import Inference
from greengrocer.imaging.geometry import Pixels

CRASHES, HANGS, SLOW, FAILS = 12, 36, 62, 87  # mean levels of grey, JPEG's error aside
HANGS_BESIDE = 137  # but only in a bundle of the version BESIDE
BESIDE = "beside"
SLOW_SECONDS = 0.3  # long enough to be in flight for others to see
HOME = "POISON_HOME"  # a directory; by default the bundle's
DEADLY = "deadly"  # a file in it: no start succeeds while it is there
SLOW_START = "slow"  # a pipe there: a start waits until somebody has written to it


class PoisonableEngine(FakeEngine):
    """Aborts as a library in C would."""

    directory: Path

    def __init__(self, directory: Path, *rest: object) -> None:
        super().__init__(directory, *rest)  # type: ignore[arg-type]
        self.directory = Path(os.environ.get(HOME, directory))

    def start(self) -> None:
        """Leave no core files, and die where the test says so."""
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if (self.directory / DEADLY).exists():
            os.abort()
        if (self.directory / SLOW_START).exists():
            (self.directory / SLOW_START).read_bytes()

    def infer(self, pixels: Pixels, alone: bool = False) -> Inference:
        """Answer, or not."""
        level = float(pixels.mean())
        if abs(level - CRASHES) < 3:
            os.abort()
        if abs(level - HANGS) < 3:
            threading.Event().wait()
        if abs(level - HANGS_BESIDE) < 3 and self.manifest.version == BESIDE:
            threading.Event().wait()
        if abs(level - SLOW) < 3:
            threading.Event().wait(SLOW_SECONDS)
        if abs(level - FAILS) < 3:
            raise RuntimeError("this image fails")
        return super().infer(pixels, alone)
