"""The engine `auto`: ONNX Runtime, or OpenVINO where that answers the same and is faster here."""

import logging
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import NamedTuple

import numpy as np

from greengrocer.bundles.bundle import read_verified
from greengrocer.bundles.manifest import Golden, Manifest
from greengrocer.context import Context
from greengrocer.engines.engine import Engine, Floats, Inference, Threads
from greengrocer.engines.onnx_engine import OnnxEngine
from greengrocer.errors import UsageError
from greengrocer.imaging.decode import DecodeLimits
from greengrocer.imaging.fitted import plan_fitted
from greengrocer.imaging.geometry import Pixels, fit
from greengrocer.safe_text import words_of

SECONDS = 0.5  # of a trial
FEWEST = 15  # runs of each engine, however long they take
# Of ONNX Runtime's time. With six busy processes a processor and FEWEST runs, 24 trials of it
# against itself found 0.97 to 1.09.
FASTER = 0.9
# Of a probability or known score, between the engines; 0.016 at most on the data set's val.
SAME = 0.05

log = logging.getLogger("greengrocer.engines")  # the command line shows only its warnings


class Times(NamedTuple):
    """Medians of a trial: milliseconds of processor time an image, and the rival's over ours."""

    ours: float
    rival: float
    ratio: float


class AutoEngine:
    """The faster one of two engines, after a trial on the bundle's known-answer images.

    An image at a time, with as many threads as one of several that run side by side. The other
    engine is closed.
    """

    largest_batch = 1  # before ``start``

    def __init__(self, directory: Path, manifest: Manifest, device: str, threads: Threads) -> None:
        self.directory = directory
        self.manifest = manifest
        self.device = device
        self.threads = threads
        self._engine: Engine | None = None

    def start(self) -> None:
        """Load the graph and choose; raises BundleRefused or UsageError, as OnnxEngine does."""
        arguments = self.directory, self.manifest, self.device, self.threads
        self._engine = ours = OnnxEngine(*arguments)
        ours.start()
        self.largest_batch = ours.largest_batch
        if ours.largest_batch > 1:
            self._tell("onnx", "it runs on a GPU")
            return
        try:
            from greengrocer.engines.openvino_engine import OpenVinoEngine  # noqa: PLC0415

            rival = OpenVinoEngine(*arguments)
            rival.start()
        except UsageError as error:  # it is not installed, or cannot run this graph
            self._tell("onnx", str(error))
            return
        self._engine, unchosen = self._faster(ours, rival)
        unchosen.close()

    def infer(self, pixels: Pixels, alone: bool = False) -> Inference:
        """What the chosen engine answers."""
        assert self._engine is not None, "start() comes first"
        return self._engine.infer(pixels, alone)

    def close(self) -> None:
        """Close the chosen engine."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def _faster(self, ours: Engine, rival: Engine) -> tuple[Engine, Engine]:
        """The two engines, the chosen one first."""
        manifest = self.manifest
        try:
            images = []
            for golden in manifest.goldens:
                images.append(golden_pixels(self.directory, manifest, golden))
                check_answer(manifest, golden, ours.infer(images[-1]), rival.infer(images[-1]))
            times = timed(ours, rival, images)
        # Of any kind. If the bundle is at fault, it is refused where its goldens are replayed.
        except Exception as error:
            self._tell("onnx", f"the trial of openvino failed: {words_of(error)}")
            return ours, rival
        faster = times.ratio <= FASTER
        self._tell(
            "openvino" if faster else "onnx",
            f"onnx takes {times.ours:.2f} ms of processor time an image, openvino "
            f"{times.rival:.2f} ms (ratio {times.ratio:.2f}; openvino is taken up to {FASTER})",
        )
        return (rival, ours) if faster else (ours, rival)

    def _tell(self, engine: str, why: str) -> None:
        log.info("engine auto takes %s for %s: %s", engine, self.manifest.name, why)


def check_answer(manifest: Manifest, golden: Golden, ours: Inference, rival: Inference) -> None:
    """Raise ValueError where ``rival`` is neither the golden's answer nor near ``ours``; N = 1."""
    best = int(rival.probabilities[0].argmax())
    confidence = float(rival.probabilities[0, best])
    near = abs(confidence - golden.confidence) <= manifest.golden_tolerance  # false for NaN
    if manifest.classes[best] != golden.prediction or not near:
        raise ValueError(
            f"it answers {golden.file} with {manifest.classes[best]} ({confidence:.3f}), not "
            f"{golden.prediction} ({golden.confidence:.3f})"
        )
    for name in ("probabilities", "coarse", "known_score"):
        apart = _apart(getattr(ours, name), getattr(rival, name))
        if not apart <= SAME:
            raise ValueError(f"its {name} for {golden.file} are {apart:.3f} from those of onnx")


def golden_pixels(directory: Path, manifest: Manifest, golden: Golden) -> Pixels:
    """The pixels of a known-answer image: uint8 [1, H, W, 3]; raises ImageRefused."""
    image = read_verified(directory, manifest, golden.file)
    plan = plan_fitted(image, manifest.geometry, DecodeLimits())
    return fit(plan.decode(Context().check), manifest.geometry)[None]


def timed(
    ours: Engine,
    rival: Engine,
    images: Sequence[Pixels],
    clock: Callable[[], float] = process_time,
) -> Times:
    """Run both in turn, each first as often as the other, for SECONDS and FEWEST runs of each.

    ``clock`` gives the seconds that are compared: by default the processor time of this process,
    in which the other processes of a busy machine do not count.
    """
    end = perf_counter() + SECONDS
    spent: dict[Engine, list[float]] = {ours: [], rival: []}
    for turn in count():
        if turn >= FEWEST and perf_counter() >= end:
            break
        for engine in (ours, rival) if turn % 2 else (rival, ours):
            started = clock()
            engine.infer(images[turn % len(images)])
            spent[engine].append(clock() - started)
    ratios = [theirs / mine for mine, theirs in zip(spent[ours], spent[rival], strict=True)]
    return Times(1000 * median(spent[ours]), 1000 * median(spent[rival]), median(ratios))


def _apart(ours: Floats | None, rival: Floats | None) -> float:
    """The largest difference; 0 where the model does not give this output."""
    return 0.0 if ours is None or rival is None else float(np.abs(ours - rival).max())
