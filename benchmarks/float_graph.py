"""A bundle's network as other servers take it: float32 planes in, probabilities out.

The graph that ships takes uint8 pixels. The peers prepare float32 as the tutorials do, so their
graph begins with the usual quantisation of a float input, before the same int8 network.
"""

from pathlib import Path

import onnx
from onnx import TensorProto, helper

from greengrocer.graphs.nodes import PIXELS, PLANES, Shape

INPUT = "input"
OUTPUT = "probabilities"


def float_graph(bundle: Path, out: Path) -> Path:
    """Write the float32 form of the bundle's graph to ``out`` and return it.

    ``input`` float32 [N, 3, H, W], (pixel - 127) / 128, to ``probabilities`` [N, classes].
    """
    model = onnx.load(bundle / "model.onnx")
    graph = model.graph
    height, width = (side.dim_value for side in graph.input[0].type.tensor_type.shape.dim[1:3])
    dequantise = next(node for node in graph.node if PLANES in node.input)
    _, scale, zero = dequantise.input
    quantised = helper.make_node("QuantizeLinear", [INPUT, scale, zero], ["quantised"])
    turned = helper.make_node("Transpose", ["quantised"], [PIXELS], perm=[0, 2, 3, 1])
    for place, node in enumerate((quantised, turned)):
        graph.node.insert(place, node)
    shape: Shape = ["N", 3, height, width]
    graph.input[0].CopyFrom(helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, shape))
    for output in [output for output in graph.output if output.name != OUTPUT]:
        graph.output.remove(output)  # what only the others need is not computed
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, out)
    return out
