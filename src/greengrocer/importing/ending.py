"""How a classifier's graph ends: in logits or probabilities, after a linear layer, after a mean."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import onnx

from greengrocer.errors import UsageError
from greengrocer.importing.graph import Array, Reading, attribute
from greengrocer.importing.source import Source


class Linear(NamedTuple):
    """The last linear layer: features [N, channels] by ``weight`` [channels, classes] and bias."""

    features: str
    weight: Array
    bias: Array


class FeatureMap(NamedTuple):
    """The tensor whose mean over places the features are, [N, channels, h, w] or channels last."""

    name: str
    channels_last: bool


class Ending(NamedTuple):
    """The parts that the answer head stands on.

    ``logits`` is the tensor before the softmax, or the graph's own output where it has none.
    ``linear`` and ``places`` are None where the graph ends otherwise; ``why`` then says how. With
    ``places`` and no ``linear``, the map holds the classes' own scores.
    """

    logits: str
    has_softmax: bool
    linear: Linear | None
    places: FeatureMap | None
    why: str = ""


def find_ending(source: Source) -> Ending:
    """How the graph of ``source`` ends; raises UsageError for independent scores (a sigmoid)."""
    reading = Reading(source.model)
    logits, has_softmax = _logits(reading, source)
    linear = _linear(reading, reading.before(logits))
    if linear is None:
        places, why = _places(reading, logits)
        if places is None:
            why = f"the last layer is not linear ({_operator(reading, logits)})"
        return Ending(logits, has_softmax, None, places, why)
    places, why = _places(reading, linear.features)
    return Ending(logits, has_softmax, linear, places, why)


def _logits(reading: Reading, source: Source) -> tuple[str, bool]:
    last = reading.before(source.output)
    node = reading.maker.get(last)
    if node is None:
        raise UsageError(f"{source.path} computes nothing: its output is its input")
    if node.op_type in ("Softmax", "LogSoftmax"):
        return node.input[0], True
    if node.op_type == "Sigmoid":
        raise UsageError(
            f"{source.path} ends in a sigmoid: its classes do not exclude one another, and an "
            "answer names one"
        )
    return source.output, False


def _linear(reading: Reading, name: str) -> Linear | None:
    """The linear layer that makes the tensor ``name``; its constants must be in the graph."""
    node = reading.maker.get(name)
    if node is None or node.op_type not in _READERS:
        return None
    return _READERS[node.op_type](reading, node)


def _gemm(reading: Reading, node: onnx.NodeProto) -> Linear | None:
    weight, bias = reading.constant(node.input[1]), _bias(reading, node)
    if weight is None or bias is None or weight.ndim != 2 or attribute(node, "transA", 0):
        return None
    alpha, beta = attribute(node, "alpha", 1.0), attribute(node, "beta", 1.0)
    turned = weight.T if attribute(node, "transB", 0) else weight
    return _weighted(node.input[0], alpha * turned, beta * bias)


def _bias(reading: Reading, node: onnx.NodeProto) -> Array | None:
    """The third input of ``node``, zero where it has none, None where it is no constant."""
    if len(node.input) < 3 or not node.input[2]:
        return np.zeros(1, np.float32)
    return reading.constant(node.input[2])


def _added(reading: Reading, node: onnx.NodeProto) -> Linear | None:
    """A matrix product with a constant bias behind it."""
    for index in (0, 1):
        bias = reading.constant(node.input[index])
        inner = reading.maker.get(reading.before(node.input[1 - index]))
        if bias is None or inner is None or inner.op_type not in ("MatMul", "Gemm"):
            continue
        found = _linear(reading, inner.output[0])
        if found is not None and bias.size in (1, found.weight.shape[1]):
            return found._replace(bias=found.bias + bias.ravel().astype(np.float32))
    return None


def _product(reading: Reading, node: onnx.NodeProto) -> Linear | None:
    return _weighted(node.input[0], reading.constant(node.input[1]), np.zeros(1, np.float32))


def _pointwise(reading: Reading, node: onnx.NodeProto) -> Linear | None:
    """A convolution of one place, which is linear where there is one place."""
    weight, shape = reading.constant(node.input[1]), reading.shape(node.input[0])
    one_place = shape is not None and len(shape) == 4 and shape[2:] == [1, 1]
    pooled = _places(reading, node.input[0])[0] is not None
    if weight is None or weight.shape[2:] != (1, 1) or not (one_place or pooled):
        return None
    return _weighted(node.input[0], weight[:, :, 0, 0].T, _bias(reading, node))


_READERS: dict[str, Callable[[Reading, onnx.NodeProto], Linear | None]] = {
    "Gemm": _gemm,
    "Add": _added,
    "MatMul": _product,
    "Conv": _pointwise,
}


def _weighted(features: str, weight: Array | None, bias: Array | None) -> Linear | None:
    if weight is None or weight.ndim != 2 or bias is None:
        return None
    full = np.zeros(weight.shape[1], np.float32) + bias.ravel().astype(np.float32)
    return Linear(features, np.ascontiguousarray(weight, np.float32), full)


def _places(reading: Reading, features: str) -> tuple[FeatureMap | None, str]:
    """The map whose mean over places ``features`` is, or why there is none."""
    name = reading.before(features)
    node = reading.maker.get(name)
    if node is None:
        return None, "the last linear layer reads the image itself"
    if node.op_type == "GlobalAveragePool":
        return FeatureMap(node.input[0], channels_last=False), ""
    if node.op_type == "ReduceMean":
        axes = attribute(node, "axes", None)
        if axes is None and len(node.input) > 1:
            found = reading.constant(node.input[1])
            axes = None if found is None else found.tolist()
        over = {axis % 4 for axis in axes or ()}
        inner = reading.shape(node.input[0])
        # A mean of a sequence's places has one axis
        if over in ({2, 3}, {1, 2}) and (inner is None or len(inner) == 4):
            return FeatureMap(node.input[0], channels_last=over == {1, 2}), ""
    if node.op_type == "AveragePool":
        shape, kernel = reading.shape(node.input[0]), attribute(node, "kernel_shape", [])
        padded = any(attribute(node, "pads", [0]))
        if shape is not None and list(kernel) == shape[2:] and not padded:
            return FeatureMap(node.input[0], channels_last=False), ""
    return None, (
        f"a layer ({_operator(reading, features)}) stands between the mean over places and the "
        "last linear layer, or there is no such mean"
    )


def _operator(reading: Reading, name: str) -> str:
    node = reading.maker.get(reading.before(name))
    return "none" if node is None else node.op_type
