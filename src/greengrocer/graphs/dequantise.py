"""A graph in int8 as one in float32, for GPUs, on which int8 with its conversions is slower.

The weights keep the values to which int8 has rounded them. What is quantised between the layers is
clipped to the range that it had in int8, since a ReLU6 may be part of it, but is not rounded.
"""

from collections.abc import Iterator, Mapping, Set
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

Array = npt.NDArray[Any]


def dequantise(model: onnx.ModelProto) -> onnx.ModelProto:
    """The static QDQ graph ``model`` in float32, with the same inputs and outputs."""
    found = onnx.ModelProto()
    found.CopyFrom(model)
    _dequantise(found.graph, {}, set())
    onnx.checker.check_model(found, full_check=True)
    return found


def _dequantise(graph: onnx.GraphProto, outer: Mapping[str, Array], outer_floats: Set[str]) -> None:
    """Change ``graph`` and its branches.

    It sees the constants ``outer`` of the graphs around it. ``outer_floats`` are the values there
    that were quantised and are float32 now.
    """
    constants = dict(outer) | {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    floats = set(outer_floats)
    nodes = list(graph.node)
    del graph.node[:]
    for node in nodes:
        for branch in _branches(node):
            _dequantise(branch, constants, floats)
        match node.op_type:
            case "QuantizeLinear":
                graph.initializer.extend(limits := _limits(node, constants))
                source = [node.input[0], *(limit.name for limit in limits)]
                graph.node.append(helper.make_node("Clip", source, node.output, node.name))
                floats.update(node.output)
            case "DequantizeLinear" if node.input[0] in floats:
                copied = helper.make_node("Identity", node.input[:1], node.output, node.name)
                graph.node.append(copied)
            case "DequantizeLinear" if node.input[0] in constants:
                value = _real(node, constants)
                graph.initializer.append(numpy_helper.from_array(value, node.output[0]))
            case _:
                graph.node.append(node)
                if node.input and node.input[0] in floats:  # it only moves what was quantised
                    floats.update(node.output)


def _branches(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g


def _limits(node: onnx.NodeProto, constants: Mapping[str, Array]) -> list[onnx.TensorProto]:
    """The least and the largest number that the quantised output of ``node`` can stand for."""
    _, scale, zero = (constants.get(name) for name in node.input)
    assert scale is not None
    assert zero is not None
    kind = np.iinfo(zero.dtype)
    reals = ((level - zero.astype(np.float32)) * scale for level in (kind.min, kind.max))
    return [
        numpy_helper.from_array(np.asarray(real, np.float32), f"{node.output[0]}/{end}")
        for end, real in zip(("least", "most"), reals, strict=True)
    ]


def _real(node: onnx.NodeProto, constants: Mapping[str, Array]) -> npt.NDArray[np.float32]:
    """The numbers for which the quantised constant of ``node`` stands."""
    value, scale, zero = (constants[name] for name in node.input)
    axis = next((each.i for each in node.attribute if each.name == "axis"), 1)
    if scale.size > 1:  # one for each channel
        shape = [-1 if side == axis % value.ndim else 1 for side in range(value.ndim)]
        scale, zero = scale.reshape(shape), zero.reshape(shape)
    return np.asarray((value.astype(np.float32) - zero) * scale, np.float32)
