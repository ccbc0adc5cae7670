"""Space to depth: the first convolution reads four neighbouring pixels as one of twelve channels.

ONNX Runtime's fast int8 convolution wants channels in fours. An image has three, so its first
layer took a slower way: a seventh of the network's time for a thirtieth of its arithmetic. Four
pixels of a row lie side by side in memory, so to see them as one moves nothing; the kernel then has
zeros where it does not look, and gives the two columns that it makes as twice the channels. The
sums, hence the answers, stay the same to the bit (decision 016).
"""

import copy
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from greengrocer.graphs.nodes import PIXELS, PLANES

TOGETHER = 4  # pixels
TO_PLANES = [0, 3, 1, 2]
TO_PIXELS = [0, 2, 3, 1]

Array = npt.NDArray[np.generic]


class Kernel(NamedTuple):
    """Weights [outputs, channels, rows, columns], and the columns that pad each side."""

    weights: Array
    left: int
    right: int


def space_to_depth_kernel(weights: Array, left: int, stride: int) -> Kernel:
    """The kernel over pixels taken ``TOGETHER`` that does what ``weights`` does over single ones.

    ``weights`` [outputs, channels, rows, columns] moves by ``stride`` columns, a divisor of
    ``TOGETHER``, behind ``left`` columns of padding. What is returned moves by one, and its outputs
    are those of the ``TOGETHER // stride`` columns, the first column's first.
    """
    outputs, channels, rows, columns = weights.shape
    made = TOGETHER // stride
    seen = [[stride * new + column - left for column in range(columns)] for new in range(made)]
    first, last = min(map(min, seen)) // TOGETHER, max(map(max, seen)) // TOGETHER
    width = last - first + 1
    grouped = np.zeros((made, outputs, TOGETHER, channels, rows, width), weights.dtype)
    for new, pixels in enumerate(seen):
        for column, pixel in enumerate(pixels):
            place, within = divmod(pixel, TOGETHER)
            grouped[new, :, within, :, :, place - first] = weights[..., column]
    shape = (made * outputs, TOGETHER * channels, rows, width)
    return Kernel(grouped.reshape(shape), left=-first, right=last)


def space_to_depth_stem(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of the whole int8 graph ``model`` whose first convolution reads pixels by fours.

    A graph whose width is no multiple of four is returned as it is, and so is one whose first
    convolution does not read the pixels themselves, or does not halve or keep their columns.
    """
    original, model = model, copy.deepcopy(model)
    graph = _Graph(model.graph)
    height, width, channels = graph.sides
    if width % TOGETHER:
        return original
    stem = next((node for node in model.graph.node if node.op_type == "Conv"), None)
    if stem is None or not graph.reads_pixels(stem, width):
        return original
    setting = {found.name: found for found in stem.attribute}
    top, left, bottom, _ = setting["pads"].ints
    down, stride = setting["strides"].ints
    weights, *beside = graph.read_by(stem.input[1])
    kernel = space_to_depth_kernel(graph.value(weights), left, stride)
    outputs = graph.value(weights).shape[0]
    graph.replace(weights, kernel.weights)
    for name in (*beside, *graph.read_by(stem.input[2])):  # scales and zero points, and the bias
        graph.replace(name, np.tile(graph.value(name), TOGETHER // stride))
    setting["pads"].ints[:] = [top, kernel.left, bottom, kernel.right]
    setting["strides"].ints[:] = [down, 1]
    setting["kernel_shape"].ints[:] = kernel.weights.shape[2:]
    graph.group_pixels([0, height, width // TOGETHER, TOGETHER * channels])
    graph.ungroup_columns(stem.output[0], [0, -(-height // down), width // stride, outputs])
    del model.graph.value_info[:]  # the shapes in between have changed
    onnx.checker.check_model(model, full_check=True)
    return model


class _Graph:
    """The edits of the graph."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self._constants = {constant.name: constant for constant in graph.initializer}
        sides = graph.input[0].type.tensor_type.shape.dim[1:]
        self.sides = [side.dim_value for side in sides]

    def reads_pixels(self, stem: onnx.NodeProto, width: int) -> bool:
        """Whether ``stem`` is a plain int8 convolution over the planes, of a fitting stride."""
        made_by = {name: node for node in self._graph.node for name in node.output}
        readers = [node.op_type for node in self._graph.node if stem.output[0] in node.input]
        setting = {found.name: found for found in stem.attribute}
        if readers != ["QuantizeLinear"] or len(stem.input) < 3 or "pads" not in setting:
            return False
        if PLANES not in made_by[stem.input[0]].input or setting["group"].i > 1:
            return False
        if PIXELS not in made_by[PLANES].input:
            return False
        kernel, stride = setting["kernel_shape"].ints[1], setting["strides"].ints[1]
        _, left, _, right = setting["pads"].ints
        columns = (width + left + right - kernel) // stride + 1
        dilated = "dilations" in setting and set(setting["dilations"].ints) != {1}
        return TOGETHER % stride == 0 and columns == width // stride and not dilated

    def value(self, name: str) -> Array:
        array: Array = numpy_helper.to_array(self._constants[name])
        return array

    def replace(self, name: str, value: Array) -> None:
        self._constants[name].CopyFrom(numpy_helper.from_array(value, name))

    def read_by(self, dequantised: str) -> list[str]:
        """The constants behind a tensor: its int8 or int32 values, their scale and zero point."""
        return list(next(node for node in self._graph.node if dequantised in node.output).input)

    def group_pixels(self, shape: list[int]) -> None:
        """Let the graph's planes be made of pixels in the form of ``shape``."""
        turned = next(node for node in self._graph.node if PLANES in node.output)
        turned.input[0] = "pixels_by_fours"
        self._insert_before(turned, self._reshape(PIXELS, turned.input[0], shape))

    def ungroup_columns(self, source: str, shape: list[int]) -> None:
        """Give ``source`` its columns by ``shape`` again, behind its quantiser: as bytes."""
        quantiser = next(node for node in self._graph.node if source in node.input)
        outcome = quantiser.output[0]
        grouped, turned, columns = (
            f"{outcome}_{form}" for form in ("grouped", "turned", "columns")
        )
        quantiser.output[0] = grouped
        reader = next(node for node in self._graph.node if outcome in node.input)
        for node in (
            helper.make_node("Transpose", [grouped], [turned], turned, perm=TO_PIXELS),
            self._reshape(turned, columns, shape),
            helper.make_node("Transpose", [columns], [outcome], outcome, perm=TO_PLANES),
        ):
            self._insert_before(reader, node)

    def _reshape(self, source: str, name: str, shape: list[int]) -> onnx.NodeProto:
        wanted = f"{name}_shape"
        self._graph.initializer.append(numpy_helper.from_array(np.array(shape, np.int64), wanted))
        return helper.make_node("Reshape", [source, wanted], [name], name)

    def _insert_before(self, node: onnx.NodeProto, new: onnx.NodeProto) -> None:
        self._graph.node.insert(list(self._graph.node).index(node), new)
