"""A session of ONNX Runtime that gives back the memory of a run that took much."""

import os
import resource
from collections.abc import Mapping, Sequence
from functools import cache
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from greengrocer.engines.onnx_runtime import ort

MUCH = 128 << 20  # bytes by which the process has grown; a run of a model that ships takes 20 MB
QUICK = 0.01  # seconds in which no run can fetch MUCH from the system, which clears it first
PAGE = resource.getpagesize()
SHRINKING = "memory.enable_memory_arena_shrinkage", "cpu:0"


class OnnxSession:
    """Runs a graph on CPUs, from several threads at once.

    ONNX Runtime keeps the memory of a run for the next one. To give it back after every run costs a
    large model a quarter of its time, so only the run after the process has grown by MUCH does it.
    """

    def __init__(self, session: ort.InferenceSession) -> None:
        self._session = session
        self._least = resident_bytes()  # since memory was last given back
        self._shrinks = False  # whether the next run gives memory back
        self._shrinking = ort.RunOptions()
        self._shrinking.add_run_config_entry(*SHRINKING)

    def run(self, outputs: Sequence[str], inputs: Mapping[str, npt.NDArray[np.uint8]]) -> list[Any]:
        """The outputs that are named so; raises what ONNX Runtime raises."""
        shrinks, self._shrinks = self._shrinks, False
        began = perf_counter()
        try:
            values: list[Any] = self._session.run(
                outputs, inputs, self._shrinking if shrinks else None
            )
        finally:
            if shrinks or perf_counter() - began > QUICK:
                now = resident_bytes()
                self._least = now if shrinks else min(self._least, now)
                self._shrinks = now > self._least + MUCH
        return values


def resident_bytes() -> int:
    """The memory of this process that is in use; 0 where the system does not tell."""
    statm = _statm()
    return 0 if statm is None else int(os.pread(statm, 100, 0).split()[1]) * PAGE


@cache
def _statm() -> int | None:
    """The file in which the system tells, opened once: to open it takes longer than to read it."""
    try:
        return os.open("/proc/self/statm", os.O_RDONLY)
    except OSError:
        return None
