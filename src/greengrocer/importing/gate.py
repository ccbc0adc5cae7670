"""Whether int8 ships: it must keep the float graph's answers, and be faster on this processor."""

from statistics import median
from time import perf_counter
from typing import NamedTuple

import numpy as np
import onnx

from greengrocer.engines.engine import Floats
from greengrocer.figures.score import ClassIds
from greengrocer.importing.fold import PIXELS
from greengrocer.importing.source import open_session
from greengrocer.training.release.quantisation_loss import (
    MAX_LOSS,
    MIN_AGREEMENT,
    Comparison,
    compare,
)

MIN_SPEEDUP = 1.05  # times as fast as float
SECONDS = 3.0  # of measuring each
FEWEST_RUNS = 5


class Verdict(NamedTuple):
    """Whether int8 ships, and why, in words; ``comparison`` and ``speedup`` where measured."""

    ships: bool
    why: str
    comparison: Comparison | None = None
    speedup: float | None = None


def judge_int8(in_float: Floats, in_int8: Floats, truth: ClassIds, speedup: float) -> Verdict:
    """The verdict from logits [N, classes] of both for photos of the classes ``truth`` [N].

    One photo may always be lost, and one named otherwise: of few photos that is more than the
    limits, and says nothing.
    """
    found = compare(in_float.argmax(axis=1), in_int8.argmax(axis=1), truth)
    lost = round(-found.gain * found.pictures / 100)
    differing = round((100 - found.agreement) * found.pictures / 100)
    measured = (
        f"top-1 {found.gain:+.1f} points (95 % interval {found.gain_low:+.1f} to "
        f"{found.gain_high:+.1f}), {found.agreement:.1f} % of {found.pictures} photos named alike, "
        f"{speedup:.2f} times as fast here"
    )
    if -found.gain > MAX_LOSS and lost > 1:
        why = f"int8 loses more than {MAX_LOSS:g} points: {measured}"
    elif found.agreement < MIN_AGREEMENT and differing > 1:
        why = f"int8 names under {MIN_AGREEMENT:g} % of the photos as float does: {measured}"
    elif speedup < MIN_SPEEDUP:
        why = f"int8 is not {MIN_SPEEDUP:g} times as fast on this processor: {measured}"
    else:
        return Verdict(True, f"int8 keeps the answers and is faster: {measured}", found, speedup)
    return Verdict(False, why, found, speedup)


def measure_speedup(in_float: onnx.ModelProto, in_int8: onnx.ModelProto) -> float:
    """How many times as fast as float int8 answers one image on one thread, here.

    They run in turn, so that whatever else the machine does slows both.
    """
    sessions = [open_session(each, "the graph") for each in (in_float, in_int8)]
    shape = [side.dim_value or 1 for side in in_float.graph.input[0].type.tensor_type.shape.dim]
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    times: tuple[list[float], list[float]] = ([], [])
    began = perf_counter()
    while len(times[0]) < FEWEST_RUNS or perf_counter() - began < 2 * SECONDS:
        for session, taken in zip(sessions, times, strict=True):
            start = perf_counter()
            session.run(None, {PIXELS: pixels})
            taken.append(perf_counter() - start)
        if len(times[0]) >= 200:
            break
    return median(times[0][1:]) / median(times[1][1:])
