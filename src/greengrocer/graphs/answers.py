"""The answer graph: a backbone, and behind it a linear head, calibrated answers and known score.

The arithmetic is that of ``networks.recogniser.AnswerHead``, which says why; a test holds the two
together.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto

from greengrocer.figures.known_score import PROBABILITY_POWER
from greengrocer.graphs.nodes import FEATURE_MAP, PIXELS, PLANES, Nodes, Shape, value_info
from greengrocer.graphs.views import IN_DOUBT, in_cascade
from greengrocer.imaging.geometry import Geometry

Floats = npt.NDArray[np.float32]

PLACES = "view_rows"  # the constant, float32 [V, G, h]


class Head(NamedTuple):
    """``weight`` float32 [channels, classes] and ``bias`` [classes], before calibration.

    ``centre`` [channels] and ``directions`` [M, channels], of length 1, are the prototypes.
    ``coarse_of`` is the coarse class id of each class, None without a hierarchy. ``places``
    [V, G, h] lays the evidence of several views on one grid, see ``imaging.views``; None: one view.
    """

    weight: Floats
    bias: Floats
    centre: Floats
    directions: Floats
    temperature: float
    coarse_of: Sequence[int] | None
    places: Floats | None = None


def answer_graph(backbone: onnx.ModelProto, head: Head, geometry: Geometry) -> onnx.ModelProto:
    """The whole graph: a backbone's, float or int8, with ``head`` behind it.

    ``backbone`` reads ``planes`` uint8 [N, 3, H, W], or ``pixels`` itself, and where the head has
    ``places`` it returns the maps of the views in a column (``graphs.views``). ``pixels`` uint8
    [N, H, W, 3] (N may vary) to the float32 outputs ``probabilities`` [N, classes], ``coarse``
    [N, coarse classes] (absent without a hierarchy), ``known_score`` [N] and ``evidence``
    [N, h, w, classes], which the engine protocol describes.
    """
    graph = Nodes()
    if backbone.graph.input[0].name == PLANES:
        graph.add("Transpose", [PIXELS], PLANES, perm=[0, 3, 1, 2])
    graph.nodes += backbone.graph.node
    graph.constants += backbone.graph.initializer
    weight = graph.constant("answer_weight", _calibrated(head.weight, head.temperature))
    bias = graph.constant("answer_bias", _calibrated(head.bias, head.temperature))
    by_place = graph.add("Transpose", [FEATURE_MAP], "features_by_place", perm=[0, 2, 3, 1])
    unbiased = graph.add("MatMul", [by_place, weight], "evidence_unbiased")
    h, w = (side.dim_value for side in backbone.graph.output[0].type.tensor_type.shape.dim[2:])
    if head.places is not None:
        rows = _add_rows(graph, head.places, cascade=in_cascade(backbone))
        unbiased = _add_laid(graph, unbiased, rows, head.places.shape, len(head.bias))
        h = w = head.places.shape[1]
    graph.add("Add", [unbiased, bias], "evidence")
    graph.add("ReduceMean", ["evidence"], "logits", axes=[1, 2], keepdims=0)
    graph.add("Softmax", ["logits"], "probabilities", axis=1)
    _add_known_score(graph, head)
    classes = len(head.bias)
    outputs = [value_info("probabilities", TensorProto.FLOAT, ["N", classes])]
    if head.coarse_of is not None:
        members = np.eye(max(head.coarse_of) + 1, dtype=np.float32)[list(head.coarse_of)]
        membership = graph.constant("coarse_membership", members)
        graph.add("MatMul", ["probabilities", membership], "coarse")
        outputs.append(value_info("coarse", TensorProto.FLOAT, ["N", members.shape[1]]))
    outputs.append(value_info("known_score", TensorProto.FLOAT, ["N"]))
    outputs.append(value_info("evidence", TensorProto.FLOAT, ["N", h, w, classes]))
    shape: Shape = ["N", geometry.height, geometry.width, 3]
    return graph.model(value_info(PIXELS, TensorProto.UINT8, shape), outputs)


def _calibrated(values: Floats, temperature: float) -> Floats:
    return np.ascontiguousarray(values / np.float32(temperature), np.float32)


def _add_rows(graph: Nodes, places: Floats, *, cascade: bool) -> str:
    """Where the rows of the views lie, [V, G, h].

    In a cascade [N, V, G, h]: those of an image that is not in doubt are all the first view's.
    """
    rows = graph.constant(PLACES, places)
    if not cascade:
        return rows
    zero = graph.constant("first_view", np.array(0, np.int64))
    first = graph.add("Gather", [rows, zero], "first_view_rows", axis=0)
    axes = graph.constant("in_doubt_axes", np.array([1, 2, 3], np.int64))
    in_doubt = graph.add("Unsqueeze", [IN_DOUBT, axes], "in_doubt_by_view")
    return graph.add("Where", [in_doubt, rows, first], "rows_by_image")


def _add_laid(graph: Nodes, evidence: str, rows: str, places: Sequence[int], classes: int) -> str:
    """[N, V * h, h, classes] on one grid, [N, G, G, classes]: the mean over the views.

    ``rows`` have ``places`` as their shape, or one of each image.
    """
    count, cells, h = places

    def shape(name: str, *sides: int) -> str:
        return graph.constant(f"{name}_shape", np.array([-1, *sides], np.int64))

    before_rows = graph.constant("view_columns_axis", np.array([-3], np.int64))
    columns = graph.add("Unsqueeze", [rows, before_rows], "view_columns")
    wanted = shape("evidence_by_view", count, h, h * classes)
    x = graph.add("Reshape", [evidence, wanted], "evidence_by_view")
    x = graph.add("MatMul", [rows, x], "evidence_in_rows")
    wanted = shape("evidence_in_columns", count, cells, h, classes)
    x = graph.add("Reshape", [x, wanted], "evidence_in_columns")
    x = graph.add("MatMul", [columns, x], "evidence_of_views")
    return graph.add("ReduceMean", [x], "evidence_laid", axes=[1], keepdims=0)


def _add_known_score(graph: Nodes, head: Head) -> None:
    """``known_score`` [N] from the feature map and the calibrated logits."""
    pooled = graph.add("ReduceMean", [FEATURE_MAP], "pooled", axes=[2, 3], keepdims=0)
    centre = graph.constant("prototype_centre", head.centre)
    offset = graph.add("Sub", [pooled, centre], "prototype_offset")
    length = graph.add("ReduceL2", [offset], "prototype_length", axes=[1], keepdims=1)
    least = graph.constant("prototype_least_length", np.array(1e-12, np.float32))
    length = graph.add("Max", [length, least], "prototype_divisor")
    direction = graph.add("Div", [offset, length], "prototype_direction")
    # By far the largest constant: in float16, as the weights have it, it takes half the room.
    columns = np.ascontiguousarray(head.directions.T.astype(np.float16))
    halves = graph.constant("prototypes_float16", columns)
    prototypes = graph.add("Cast", [halves], "prototypes", to=TensorProto.FLOAT)
    cosines = graph.add("MatMul", [direction, prototypes], "prototype_cosines")
    nearest = graph.add("ReduceMax", [cosines], "prototype_nearest", axes=[1], keepdims=0)
    zero = graph.constant("score_min", np.array(0, np.float32))
    one = graph.constant("score_max", np.array(1, np.float32))
    nearest = graph.add("Clip", [nearest, zero, one], "prototype_share")
    temperature = graph.constant("temperature", np.array(head.temperature, np.float32))
    raw = graph.add("Mul", ["logits", temperature], "logits_uncalibrated")
    softmax = graph.add("Softmax", [raw], "probabilities_uncalibrated", axis=1)
    decided = graph.add("ReduceMax", [softmax], "decided", axes=[1], keepdims=0)
    power = graph.constant("decided_power", np.array(PROBABILITY_POWER, np.float32))
    root = graph.add("Pow", [decided, power], "decided_root")
    graph.add("Mul", [nearest, root], "known_score")
