"""A graph in the making, and the names that every graph of ours has."""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

# Old enough for every current server of ONNX graphs.
OPSET = 17
IR_VERSION = 8

PIXELS = "pixels"  # uint8 [N, H, W, 3], what the graph takes
PLANES = "planes"  # the same, uint8 [N, 3, H, W]
FEATURE_MAP = "head/relu6"  # float32 [N, channels, h, w], what a backbone returns

Shape = list[int | str]


class Nodes:
    """Nodes and constants. A node's only output bears the node's name."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, operator: str, inputs: list[str], name: str, **attributes: Any) -> str:
        """Add a node, and return its name."""
        self.nodes.append(helper.make_node(operator, inputs, [name], name, **attributes))
        return name

    def constant(self, name: str, value: npt.NDArray[np.generic]) -> str:
        """Add a constant, and return its name."""
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def model(
        self, source: onnx.ValueInfoProto, outputs: list[onnx.ValueInfoProto]
    ) -> onnx.ModelProto:
        """The whole graph from ``source`` to ``outputs``, checked."""
        graph = helper.make_graph(self.nodes, "greengrocer", [source], outputs, self.constants)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
        )
        onnx.checker.check_model(model, full_check=True)
        return model


def from_pixels(backbone: onnx.ModelProto) -> onnx.ModelProto:
    """``backbone``, which reads ``planes``, behind ``pixels`` uint8 [N, H, W, 3]."""
    height, width = (
        side.dim_value for side in backbone.graph.input[0].type.tensor_type.shape.dim[2:]
    )
    graph = Nodes()
    graph.add("Transpose", [PIXELS], PLANES, perm=[0, 3, 1, 2])
    graph.nodes += backbone.graph.node
    graph.constants += backbone.graph.initializer
    source = value_info(PIXELS, TensorProto.UINT8, ["N", height, width, 3])
    return graph.model(source, list(backbone.graph.output))


def value_info(name: str, kind: int, shape: Shape) -> onnx.ValueInfoProto:
    """An input or an output of a graph."""
    return helper.make_tensor_value_info(name, kind, [*shape])
