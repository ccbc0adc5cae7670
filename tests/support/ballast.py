"""A bundle with a large model that answers as the small one does."""

from pathlib import Path

import numpy as np
import onnx
import onnx.helper as oh
from onnx import numpy_helper

from support.graphs import grey_graph, write_onnx_bundle


def write_heavy_bundle(directory: Path, megabytes: int) -> Path:
    """Real weights of so many megabytes, which the graph reads without changing its answer."""
    model = onnx.load_from_string(grey_graph())
    graph = model.graph
    ballast = np.linspace(0, 1, megabytes * 250_000, dtype=np.float32)[None]
    constants = {"ballast": ballast, "nought": np.zeros(1, np.float32)}
    graph.initializer.extend(numpy_helper.from_array(v, name) for name, v in constants.items())
    at = next(k for k, node in enumerate(graph.node) if node.op_type == "Sub")
    graph.node[at].input[1] = "carried"
    for node in (
        oh.make_node("Add", ["level", "nothing"], ["carried"]),
        oh.make_node("Mul", ["heaviest", "nought"], ["nothing"]),
        oh.make_node("ReduceMax", ["weighed", "last"], ["heaviest"], keepdims=1),
        oh.make_node("Mul", ["level", "ballast"], ["weighed"]),
    ):
        graph.node.insert(at, node)
    return write_onnx_bundle(directory, model.SerializeToString())
