"""Weights in several processes: does a file that is mapped give them one copy? (decision 008)."""

import os
import sys
import tempfile
import time
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from tqdm import tqdm

from benchmarks.companion import Companion, companion, serve
from benchmarks.processes import own_memory

LAYERS, SIDE = 10, 1024  # 42 MB of float32, no server around them
ROWS = 16  # of the input
PROCESSES = 3
MEGA = 1e6
MODES = {
    "weights in the file, as usual": ("inside.onnx", "1"),
    "external weights, mapped": ("outside.onnx", "1"),
    "external weights, mapped, and no pre-packing": ("outside.onnx", "0"),
}


def run(bundle: str, data: Path | None, rounds: int, seconds: float) -> str:
    """Measure, and return the table; bundle and images have no part in it."""
    del bundle, data
    lines = [f"| {PROCESSES} processes | each, MB | a run, ms |", "|---|---:|---:|"]
    with tempfile.TemporaryDirectory() as home, ExitStack() as stack:
        write_graphs(Path(home))
        groups = {
            name: [stack.enter_context(_session(home, *mode)) for _ in range(PROCESSES)]
            for name, mode in MODES.items()
        }
        runs: dict[str, list[float]] = {name: [] for name in MODES}
        for _ in tqdm(range(rounds), "rounds"):
            for name, group in groups.items():
                runs[name] += [_asked(process, seconds)["run"] for process in group]
        for name, group in groups.items():
            each = median(own_memory(_asked(process, 0)["pid"]) for process in group)
            lines.append(f"| {name} | {each / MEGA:.0f} | {1e3 * median(runs[name]):.2f} |")
    return "\n".join(lines)


def write_graphs(home: Path) -> None:
    """The same multiplications, their weights inside of the graph's file and beside it."""
    random = np.random.default_rng(0)
    weights = [random.standard_normal((SIDE, SIDE), np.float32) for _ in range(LAYERS)]
    graph = helper.make_graph(
        [helper.make_node("MatMul", [f"x{n}", f"w{n}"], [f"x{n + 1}"]) for n in range(LAYERS)],
        "layers",
        [helper.make_tensor_value_info("x0", TensorProto.FLOAT, [ROWS, SIDE])],
        [helper.make_tensor_value_info(f"x{LAYERS}", TensorProto.FLOAT, [ROWS, SIDE])],
        [numpy_helper.from_array(weight, f"w{n}") for n, weight in enumerate(weights)],
    )
    opset = helper.make_opsetid("", 17)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
    onnx.save(model, home / "inside.onnx")
    onnx.save(model, home / "outside.onnx", save_as_external_data=True, location="weights.bin")


def _session(home: str, file: str, packed: str) -> AbstractContextManager[Companion]:
    return companion("benchmarks.scenarios.mapped_weights", f"{home}/{file}", packed)


def _asked(process: Companion, seconds: float) -> dict[str, Any]:
    process.ask(seconds)
    answer: dict[str, Any] = process.answer()
    return answer


def main() -> None:
    """In each process: run the graph for so long; arguments: the graph, and 1 to pre-pack."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.disable_prepacking", str(1 - int(sys.argv[2])))
    session = ort.InferenceSession(sys.argv[1], options, ["CPUExecutionProvider"])
    rows = {"x0": np.ones((ROWS, SIDE), np.float32)}
    session.run(None, rows)

    def work(seconds: float) -> object:
        latencies = [0.0]
        until = time.perf_counter() + seconds
        while (began := time.perf_counter()) < until:
            session.run(None, rows)
            latencies.append(time.perf_counter() - began)
        return {"pid": os.getpid(), "run": median(latencies)}

    serve(work)


if __name__ == "__main__":
    main()
