"""Views in a graph: cut from the pixels, through one backbone as a batch, their maps in a column.

A batch of N images becomes one of N * V views, and the feature maps of an image's V views lie one
above the other in a map of V * h rows. So the mean over all positions is the mean over the views,
and whatever reads the map (the head, the prototypes, the statistics) need not know of them.
``networks.views`` does the same with PyTorch; a test holds the two together.

In a cascade the first view goes through the backbone, and a copy of its nodes in a branch reads the
others of those images that it leaves in doubt. The maps of an image that is not in doubt are all
the first view's, so their mean is that of the first view alone.
"""

import copy
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from greengrocer.graphs.nodes import FEATURE_MAP, PIXELS, PLANES, Nodes, Shape, value_info
from greengrocer.imaging.views import Views

VIEWS = "views"  # uint8 [N * V, size, size, 3]
OF_A_VIEW = "view_features"  # what FEATURE_MAP is for one view
IN_DOUBT = "in_doubt"  # bool [N], in a cascade: for which images it looks at all views
AGAIN = "again/"  # what the names in the branch begin with

Floats = npt.NDArray[np.float32]


class LinearHead(NamedTuple):
    """``weight`` float32 [channels, classes] and ``bias`` [classes], before calibration."""

    weight: Floats
    bias: Floats


def with_views(
    backbone: onnx.ModelProto, views: Views, head: LinearHead | None = None
) -> onnx.ModelProto:
    """``backbone`` behind ``views``: ``pixels`` uint8 [N, side, side, 3] to the feature map.

    ``backbone`` reads one view, as ``planes`` [N, 3, size, size] or ``pixels``, and makes a map of
    h rows; what is returned makes one of V * h rows. With a single view it is ``backbone`` itself.
    A cascade needs the ``head`` that tells which images are in doubt.
    """
    if views.single:
        return backbone
    graph = Nodes()
    if views.cascade is None:
        found = _add_look(graph, backbone, views, views.sides)
    else:
        assert head is not None, "a cascade needs a head"
        first = _add_look(graph, backbone, views, views.sides[:1])
        _add_doubt(graph, first, head, views.cascade)
        others = _add_others(graph, backbone, views, first)
        found = graph.add("Concat", [first, others], "stacked_views", axis=1)
    graph.add("Transpose", [found], FEATURE_MAP, perm=[0, 3, 1, 2])
    channels, h, w = _map_sides(backbone)
    shape: Shape = ["N", channels, len(views.sides) * h, w]
    return graph.model(_pixels(views), [value_info(FEATURE_MAP, TensorProto.FLOAT, shape)])


def in_cascade(model: onnx.ModelProto) -> bool:
    """Whether the graph looks at all views only where the first one leaves it in doubt."""
    return any(IN_DOUBT in node.output for node in model.graph.node)


def cutting_graph(views: Views) -> onnx.ModelProto:
    """The cutting alone: ``pixels`` uint8 [N, side, side, 3] to ``views`` [N * V, size, size, 3].

    An image's views follow each other.
    """
    graph = Nodes()
    _add_cut(graph, views, views.sides)
    shape: Shape = ["N * V", views.size, views.size, 3]
    return graph.model(_pixels(views), [value_info(VIEWS, TensorProto.UINT8, shape)])


def _pixels(views: Views) -> onnx.ValueInfoProto:
    return value_info(PIXELS, TensorProto.UINT8, ["N", views.input_side, views.input_side, 3])


def _map_sides(backbone: onnx.ModelProto) -> tuple[int, int, int]:
    """Channels, rows and columns of the map that ``backbone`` makes."""
    sides = backbone.graph.output[0].type.tensor_type.shape.dim[1:]
    channels, h, w = (side.dim_value for side in sides)
    return channels, h, w


def _add_look(
    graph: Nodes,
    backbone: onnx.ModelProto,
    views: Views,
    sides: Sequence[int],
    source: str = PIXELS,
    prefix: str = "",
) -> str:
    """The maps of the views with these ``sides``, by place: [N, sides * h, w, channels].

    The names that it adds begin with ``prefix``, but for the backbone's constants.
    """
    seen = _add_cut(graph, views, sides, source, prefix)
    if backbone.graph.input[0].name == PLANES:
        seen = graph.add("Transpose", [seen], prefix + PLANES, perm=[0, 3, 1, 2])
    features = prefix + OF_A_VIEW
    made = {name for node in backbone.graph.node for name in node.output if name}
    renamed = {name: prefix + name for name in made}
    renamed |= {backbone.graph.input[0].name: seen, FEATURE_MAP: features}
    for node in copy.deepcopy(backbone.graph.node):
        node.name = features if node.name == FEATURE_MAP else prefix + node.name
        for names in (node.input, node.output):
            names[:] = [renamed.get(name, name) for name in names]
        graph.nodes.append(node)
    if not prefix:
        graph.constants += backbone.graph.initializer
    by_place = graph.add("Transpose", [features], f"{features}_by_place", perm=[0, 2, 3, 1])
    channels, h, w = _map_sides(backbone)
    stacked = np.array([-1, len(sides) * h, w, channels], np.int64)
    shape = graph.constant(f"{prefix}stacked_shape", stacked)
    return graph.add("Reshape", [by_place, shape], f"{prefix}stacked_by_place")


def _add_doubt(graph: Nodes, first: str, head: LinearHead, least: float) -> None:
    """IN_DOUBT: whether the maps of the ``first`` view give no class the probability ``least``."""
    # What is trained has been rounded to float16, so that it is the same in half of the room.
    halves = graph.constant("cascade_weight_float16", head.weight.astype(np.float16))
    weight = graph.add("Cast", [halves], "cascade_weight", to=TensorProto.FLOAT)
    bias = graph.constant("cascade_bias", head.bias)
    x = graph.add("ReduceMean", [first], "first_pooled", axes=[1, 2], keepdims=0)
    x = graph.add("MatMul", [x, weight], "first_logits_unbiased")
    x = graph.add("Add", [x, bias], "first_logits")
    x = graph.add("Softmax", [x], "first_probabilities", axis=1)
    x = graph.add("ReduceMax", [x], "first_largest", axes=[1], keepdims=0)
    threshold = graph.constant("cascade_threshold", np.array(least, np.float32))
    x = graph.add("GreaterOrEqual", [x, threshold], "first_is_sure")
    graph.add("Not", [x], IN_DOUBT)


def _add_others(graph: Nodes, backbone: onnx.ModelProto, views: Views, first: str) -> str:
    """The maps of all views but the first, by place: of images not in doubt those of ``first``.

    Only where an image is in doubt does the branch run that looks at them. It reads no maps of the
    first view: ONNX Runtime 1.32 crashes where a branch reads what it has quantised again.
    """
    count = len(views.sides) - 1
    channels, h, w = _map_sides(backbone)
    again, not_again = Nodes(), Nodes()
    pixels = again.add("Compress", [PIXELS, IN_DOUBT], f"{AGAIN}{PIXELS}", axis=0)
    found = _add_look(again, backbone, views, views.sides[1:], pixels, AGAIN)
    empty = graph.constant("no_views", np.zeros((0, count * h, w, channels), np.float32))
    none = not_again.add("Identity", [empty], "not_looked_at")
    graph.constants += again.constants
    shape: Shape = ["in doubt", count * h, w, channels]
    then, otherwise = (
        helper.make_graph(part.nodes, name, [], [value_info(made, TensorProto.FLOAT, shape)])
        for part, name, made in ((again, "again", found), (not_again, "not_again", none))
    )
    x = graph.add("Cast", [IN_DOUBT], "in_doubt_number", to=TensorProto.INT32)
    x = graph.add("ReduceMax", [x], "most_in_doubt", keepdims=0)
    condition = graph.add("Cast", [x], "any_in_doubt", to=TensorProto.BOOL)
    seen = graph.add("If", [condition], "seen_again", then_branch=then, else_branch=otherwise)
    x = graph.add("NonZero", [IN_DOUBT], "which_in_a_row")
    which = graph.add("Transpose", [x], "which_in_doubt", perm=[1, 0])
    repeated = graph.add("Concat", [first] * count, "first_repeated", axis=1)
    return graph.add("ScatterND", [repeated, which, seen], "other_views")


def _add_cut(
    graph: Nodes, views: Views, sides: Sequence[int], source: str = PIXELS, prefix: str = ""
) -> str:
    """Those of ``views`` that have these ``sides``: uint8 [N * sides, size, size, 3]."""
    size, found = views.size, []
    for number, side in enumerate(sides):
        name, view = f"{prefix}view{number}", source
        if side < views.input_side:
            first = views.margin(side)
            axes = graph.constant(f"{name}/axes", np.array([1, 2], np.int64))
            start = graph.constant(f"{name}/first", np.array([first] * 2, np.int64))
            end = graph.constant(f"{name}/end", np.array([first + side] * 2, np.int64))
            view = graph.add("Slice", [view, start, end, axes], f"{name}/cut")
        if side > size:
            view = _add_resize(graph, view, name, side, size)
        found.append(view)
    # Below each other in bytes, which are then another shape of the same: an image's views in turn.
    column = graph.add("Concat", found, f"{prefix}views_column", axis=1)
    shape = graph.constant(f"{prefix}views_shape", np.array([-1, size, size, 3], np.int64))
    return graph.add("Reshape", [column, shape], prefix + VIEWS)


def _add_resize(graph: Nodes, view: str, name: str, side: int, size: int) -> str:
    """Bilinear, between the centres of pixels, and rounded to bytes.

    Not on the bytes themselves: ONNX Runtime then cuts the fraction off.
    """
    share = _scale(side, size)
    scales = graph.constant(f"{name}/scales", np.array([1, share, share, 1], np.float32))
    x = graph.add("Cast", [view], f"{name}/float", to=TensorProto.FLOAT)
    x = graph.add("Resize", [x, "", scales], f"{name}/resized", mode="linear")
    x = graph.add("Round", [x], f"{name}/rounded")
    return graph.add("Cast", [x], f"{name}/bytes", to=TensorProto.UINT8)


def _scale(side: int, size: int) -> np.float32:
    """The scale of which ``side`` makes ``size``, rounded down as it is by the operator."""
    scale = np.float32(size / side)
    while np.float32(side) * scale < size:
        scale = np.nextafter(scale, np.float32(1))
    return scale
