"""An ONNX graph that is read and extended, whatever its opset."""

import copy
from collections.abc import Iterable, Sequence, Set
from contextlib import suppress
from graphlib import CycleError, TopologicalSorter
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference

OLDEST, AXES_AS_INPUT = 11, 18
PREFIX = "greengrocer/"  # of every name that is added
# Layers that only give a tensor another form.
PASSING = {"Identity", "Dropout", "Flatten", "Squeeze", "Unsqueeze", "Reshape", "Cast"}

_REWRITING = {"Identity", "Cast", "Transpose"}  # of a constant, that make another

Array = npt.NDArray[Any]


def opset(model: onnx.ModelProto) -> int:
    """The version of ONNX's own operators that ``model`` uses."""
    versions = [each.version for each in model.opset_import if each.domain in ("", "ai.onnx")]
    return max(versions, default=0)


def shape_of(value: onnx.ValueInfoProto) -> list[int | None]:
    """The sides of a tensor, None where one may vary."""
    tensor = value.type.tensor_type
    return [side.dim_value if side.dim_value > 0 else None for side in tensor.shape.dim]


class Reading:
    """What is asked of a graph: who makes a tensor, which values are constant, what has a shape."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        graph = model.graph
        self.maker = {name: node for node in graph.node for name in node.output if name}
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        self._shapes: dict[str, list[int | None]] | None = None

    def constant(self, name: str) -> Array | None:
        """The value of the tensor ``name``, or None where it is computed from the image."""
        changes: list[onnx.NodeProto] = []
        while (node := self.maker.get(name)) is not None and node.op_type in _REWRITING:
            if name in self._constants or not node.input:
                break
            changes.append(node)
            name = node.input[0]
        value = self._stored(name)
        for node in reversed(changes):
            if value is None:
                return None
            value = _rewritten(value, node)
        return value

    def _stored(self, name: str) -> Array | None:
        """A constant of the graph, or of a node that holds nothing else."""
        if name in self._constants:
            return numpy_helper.to_array(self._constants[name])
        node = self.maker.get(name)
        if node is None or node.op_type != "Constant":
            return None
        for attribute in node.attribute:
            if attribute.name == "value":
                return numpy_helper.to_array(attribute.t)
            return np.array(helper.get_attribute_value(attribute))
        return None

    def shape(self, name: str) -> list[int | None] | None:
        """The sides of the tensor ``name``, as far as they can be inferred; None: nothing is."""
        if self._shapes is None:
            inferred = shape_inference.infer_shapes(self.model).graph
            values = [*inferred.value_info, *inferred.input, *inferred.output]
            self._shapes = {value.name: shape_of(value) for value in values}
        return self._shapes.get(name)

    def before(self, name: str, operators: Iterable[str] = PASSING) -> str:
        """The tensor that ``name`` is made of by nothing but ``operators``."""
        allowed = set(operators)
        while (node := self.maker.get(name)) is not None and node.op_type in allowed:
            name = node.input[0]
        return name


def _rewritten(value: Array, node: onnx.NodeProto) -> Array | None:
    """What ``node`` makes of a constant; None where it is not to be told."""
    if node.op_type == "Identity":
        return value
    try:
        if node.op_type == "Cast":
            return value.astype(helper.tensor_dtype_to_np_dtype(attribute(node, "to", 1)))
        return value.transpose(attribute(node, "perm", list(range(value.ndim))[::-1]))
    except (KeyError, TypeError, ValueError):  # ONNX Runtime says what is wrong
        return None


def sort_nodes(graph: onnx.GraphProto) -> None:
    """Put each node behind those that make what it reads, as ONNX wants it.

    Converters to float16 append their casts at the end. A circle stays as it is.
    """
    maker = {name: index for index, node in enumerate(graph.node) for name in node.output if name}
    before = {
        index: {maker[name] for name in read_by(node) if name in maker} - {index}
        for index, node in enumerate(graph.node)
    }
    if all(earlier < index for index, all_of in before.items() for earlier in all_of):
        return
    with suppress(CycleError):
        ordered = [copy.deepcopy(graph.node[k]) for k in TopologicalSorter(before).static_order()]
        del graph.node[:]
        graph.node.extend(ordered)


def attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    """The value of a node's attribute."""
    for each in node.attribute:
        if each.name == name:
            return helper.get_attribute_value(each)
    return default


def given_way(name: str, reserved: Set[str]) -> str:
    """Another name for a tensor of the source whose ``name`` is ``reserved``."""
    return f"{PREFIX}source/{name}" if name in reserved else name


class Growing:
    """A copy of a graph to which nodes are added in its own opset. Names begin with PREFIX."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = onnx.ModelProto()
        self.model.CopyFrom(model)
        self.graph = self.model.graph
        self._opset = opset(model)
        self._first: list[onnx.NodeProto] = []

    def constant(self, name: str, value: npt.ArrayLike) -> str:
        """Add a constant, and return its name."""
        self.graph.initializer.append(numpy_helper.from_array(np.asarray(value), PREFIX + name))
        return PREFIX + name

    def add(
        self, operator: str, inputs: Sequence[str], name: str, *, first: bool = False, **how: Any
    ) -> str:
        """Add a node, and return its only output; ``first``: before all that are there."""
        output = PREFIX + name
        node = helper.make_node(operator, list(inputs), [output], output, **how)
        (self._first if first else self.graph.node).append(node)
        return output

    def reduce(self, operator: str, source: str, name: str, axes: list[int], keep: int = 0) -> str:
        """Add a reduction over ``axes``."""
        if self._opset < AXES_AS_INPUT:
            return self.add(operator, [source], name, axes=axes, keepdims=keep)
        over = self.constant(f"{name}_axes", np.array(axes, np.int64))
        return self.add(operator, [source, over], name, keepdims=keep)

    def give_way(self, reserved: Set[str]) -> None:
        """Rename the tensors of the graph whose names are ``reserved``: see ``given_way``."""
        for node in self.graph.node:
            node.input[:] = [given_way(name, reserved) for name in node.input]
            node.output[:] = [given_way(name, reserved) for name in node.output]
        for tensor in self.graph.initializer:
            tensor.name = given_way(tensor.name, reserved)

    def rename(self, old: str, new: str) -> None:
        """Let every node that reads ``old`` read ``new``."""
        for node in self.graph.node:
            for index, name in enumerate(node.input):
                if name == old:
                    node.input[index] = new

    def finish(
        self, source: onnx.ValueInfoProto, outputs: Sequence[onnx.ValueInfoProto]
    ) -> onnx.ModelProto:
        """The graph from ``source`` to ``outputs``, without what they do not need."""
        nodes = [*self._first, *self.graph.node]
        del self.graph.node[:]
        self.graph.node.extend(nodes)
        del self.graph.input[:], self.graph.output[:], self.graph.value_info[:]
        self.graph.input.append(source)
        self.graph.output.extend(outputs)
        _drop_unused(self.graph)
        del self.model.metadata_props[:]
        return self.model


def _drop_unused(graph: onnx.GraphProto) -> None:
    """Take away nodes and constants that no output needs."""
    needed = {output.name for output in graph.output}
    kept = []
    for node in reversed(graph.node):  # a valid graph is sorted
        if needed & set(node.output):
            kept.append(node)
            needed |= read_by(node)
    kept.reverse()
    constants = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(kept)
    graph.initializer.extend(constants)


def read_by(node: onnx.NodeProto) -> set[str]:
    """What a node reads, the graphs within it included."""
    names: set[str] = set()
    waiting = [node]
    while waiting:
        below = waiting.pop()
        names.update(below.input)
        for each in below.attribute:
            for inner in [each.g, *each.graphs]:
                waiting += inner.node
                names |= {output.name for output in inner.output}
    return names


def floats(name: str, shape: Sequence[int | str | None]) -> onnx.ValueInfoProto:
    """A float32 tensor of ``shape``."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))
