"""Sessions of ONNX Runtime; on CPUs, one that gives back the memory of a run that took much."""

import os
import resource
from collections.abc import Mapping, Sequence
from functools import cache
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from greengrocer.engines.onnx_runtime import ort

Provider = tuple[str, dict[str, str]]  # an execution provider and its options
CPU: Provider = "CPUExecutionProvider", {}
FATAL_ONLY = 4  # ONNX Runtime's log severity: errors are raised, so they need no log line
# Refuse the ORT format, whose reader does not check what it reads.
ONNX_ONLY = "session.load_model_format", "ONNX"
# Where to look for weights outside of the graph. The manifest allows none; by default ONNX Runtime
# would read files of the working directory.
NOWHERE = "session.model_external_initializers_file_folder_path", "/dev/null"
# A waiting thread that spins takes the processor from the one that works on another image.
NEVER_SPINNING = "session.intra_op.allow_spinning", "0"
# An image that is alone: threads spin between the nodes of a run, and sleep after it.
SPINNING_WITHIN_A_RUN = "session.force_spinning_stop", "1"
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


def open_session(
    graph: bytes,
    threads: int,
    spinning: tuple[str, str],
    providers: Sequence[Provider] = (CPU,),
    **more: int,
) -> ort.InferenceSession:
    """Load the graph, to run on ``threads`` threads; raises what ONNX Runtime raises."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = FATAL_ONLY
    for each in (ONNX_ONLY, NOWHERE, spinning):
        options.add_session_config_entry(*each)
    return ort.InferenceSession(graph, options, providers=list(providers), **more)


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
