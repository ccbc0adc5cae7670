"""The float32 form of a quantised graph, which GPUs run."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from greengrocer.engines.onnx_runtime import ort
from greengrocer.graphs.dequantise import dequantise


def operators(graph: onnx.GraphProto) -> set[str]:
    found = {node.op_type for node in graph.node}
    branches = [each.g for node in graph.node for each in node.attribute if each.HasField("g")]
    return found.union(*map(operators, branches))


def test_what_was_quantised_is_clipped_to_its_range_and_the_weights_keep_their_values() -> None:
    weights = np.array([[1, -2], [3, 127]], np.int8)
    scales = np.array([0.5, 2.0], np.float32)
    constants = {
        "scale": np.float32(0.1),
        "zero": np.uint8(10),
        "weights_q": weights,
        "scales": scales,
        "zeros": np.zeros(2, np.int8),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["x_q"]),
        helper.make_node("Transpose", ["x_q"], ["turned_q"], perm=[1, 0]),
        helper.make_node("DequantizeLinear", ["turned_q", "scale", "zero"], ["turned"]),
        helper.make_node("DequantizeLinear", ["weights_q", "scales", "zeros"], ["w"], axis=1),
        helper.make_node("MatMul", ["turned", "w"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "quantised",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, "N"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    found = dequantise(model)
    assert operators(found.graph) == {"Clip", "Transpose", "Identity", "MatMul"}
    session = ort.InferenceSession(found.SerializeToString())
    x = np.array([[0.123, -5.0], [30.0, 1.0]], np.float32)  # from -1 to 24.5 is what int8 has
    (y,) = session.run(["y"], {"x": x})
    expected = x.clip(-1.0, 24.5).T @ (weights * scales)
    np.testing.assert_allclose(y, expected, rtol=1e-6)
