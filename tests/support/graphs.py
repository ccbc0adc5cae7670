"""Small ONNX graphs that answer as the fake engine does, and some that break the contract."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.helper as oh
import onnxruntime as ort
from onnx import TensorProto, numpy_helper

from greengrocer.bundles.manifest import GRAPH, read_manifest, write_manifest
from support.bundles import CLASSES, digests, write_fake_bundle

SIDE = 32
OUTPUTS = ("probabilities", "known_score", "evidence", "coarse")
# Arguments of ``grey_graph`` that break the contract, and what is then said to be wrong.
BREACHES: dict[str, tuple[dict[str, Any], str]] = {
    "input of floats": ({"dtype": TensorProto.FLOAT}, "inputs"),
    "input of another size": ({"side": 24}, "inputs"),
    "no evidence": ({"outputs": ("probabilities", "known_score", "coarse")}, "outputs"),
    "no coarse": ({"outputs": OUTPUTS[:3]}, "outputs"),
    "one class too many": ({"classes": 11}, "outputs"),
}


def grey_graph(
    classes: int = len(CLASSES),
    dtype: int = TensorProto.UINT8,
    side: int = SIDE,
    outputs: tuple[str, ...] = OUTPUTS,
    shift: float = 0.0,
) -> bytes:
    """A graph that answers the mean grey level, ``shift`` classes too dark."""
    membership = np.zeros((classes, 2), np.float32)
    membership[: classes // 2, 0] = membership[classes // 2 :, 1] = 1
    constants = {
        "centres": np.arange(classes, dtype=np.float32)[None] + np.float32(0.5 + shift),
        "scale": np.array(classes / 255, np.float32),
        "space": np.array([1, 2, 3], np.int64),
        "middle": np.array([1, 2], np.int64),
        "last": np.array([1], np.int64),
        "membership": membership,
    }
    nodes = [
        oh.make_node("Cast", ["pixels"], ["float"], to=TensorProto.FLOAT),
        oh.make_node("ReduceMean", ["float", "space"], ["mean4"]),
        oh.make_node("Squeeze", ["mean4", "middle"], ["mean"]),
        oh.make_node("Mul", ["mean", "scale"], ["level"]),
        oh.make_node("Sub", ["centres", "level"], ["distance"]),
        oh.make_node("Mul", ["distance", "distance"], ["square"]),
        oh.make_node("Neg", ["square"], ["logits"]),
        oh.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        oh.make_node("ReduceMax", ["probabilities", "last"], ["known_score"], keepdims=0),
        oh.make_node("Unsqueeze", ["logits", "middle"], ["evidence"]),
        oh.make_node("MatMul", ["probabilities", "membership"], ["coarse"]),
    ]
    shapes: dict[str, list[int | str]] = {
        "probabilities": ["N", classes],
        "known_score": ["N"],
        "evidence": ["N", 1, 1, classes],
        "coarse": ["N", 2],
    }
    graph = oh.make_graph(
        nodes,
        "greys",
        [oh.make_tensor_value_info("pixels", dtype, ["N", side, side, 3])],
        [oh.make_tensor_value_info(name, TensorProto.FLOAT, shapes[name]) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = oh.make_model(graph, opset_imports=[oh.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    serialized: bytes = model.SerializeToString()
    return serialized


def write_onnx_bundle(directory: Path, graph: bytes | None = None) -> Path:
    """The fake bundle with a real graph in it."""
    write_fake_bundle(directory)
    (directory / GRAPH).write_bytes(grey_graph() if graph is None else graph)
    files = digests(directory, GRAPH, "golden.jpg")
    write_manifest(read_manifest(directory).model_copy(update={"files": files}), directory)
    return directory


def optimised(model: onnx.ModelProto, directory: Path) -> onnx.GraphProto:
    """What ONNX Runtime makes of ``model`` on this machine."""
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(directory / "optimised.onnx")
    options.log_severity_level = 3  # it warns that the file is for this machine only
    ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return onnx.load(options.optimized_model_filepath).graph
