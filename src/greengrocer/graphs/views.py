"""Views in a graph: cut from the pixels, through one backbone as a batch, their maps in a column.

A batch of N images becomes one of N * V views, and the feature maps of an image's V views lie one
above the other in a map of V * h rows. So the mean over all positions is the mean over the views,
and whatever reads the map (the head, the prototypes, the statistics) need not know of them.
``networks.views`` does the same with PyTorch; a test holds the two together.
"""

import copy

import numpy as np
import onnx
from onnx import TensorProto

from greengrocer.graphs.nodes import FEATURE_MAP, PIXELS, PLANES, Nodes, Shape, value_info
from greengrocer.imaging.views import Views

VIEWS = "views"  # uint8 [N * V, size, size, 3]
VIEWS_SHAPE = "views_shape"
OF_A_VIEW = "view_features"  # what FEATURE_MAP is for one view


def with_views(backbone: onnx.ModelProto, views: Views) -> onnx.ModelProto:
    """``backbone``, ``planes`` [N, 3, size, size] to the feature map, behind ``views``.

    It reads ``pixels`` uint8 [N, side, side, 3]; the feature map is [N, channels, V * h, w]. With a
    single view it is returned as it is.
    """
    if views.single:
        return backbone
    graph = Nodes()
    _add_cut(graph, views)
    graph.add("Transpose", [VIEWS], PLANES, perm=[0, 3, 1, 2])
    inside = copy.deepcopy(backbone.graph)
    for node in inside.node:
        node.name = OF_A_VIEW if node.name == FEATURE_MAP else node.name
        for names in (node.input, node.output):
            names[:] = [OF_A_VIEW if name == FEATURE_MAP else name for name in names]
    graph.nodes += inside.node
    graph.constants += inside.initializer
    channels, h, w = (side.dim_value for side in inside.output[0].type.tensor_type.shape.dim[1:])
    rows = len(views.sides) * h
    graph.add("Transpose", [OF_A_VIEW], "view_features_by_place", perm=[0, 2, 3, 1])
    shape = graph.constant("stacked_shape", np.array([-1, rows, w, channels], np.int64))
    graph.add("Reshape", ["view_features_by_place", shape], "stacked_by_place")
    graph.add("Transpose", ["stacked_by_place"], FEATURE_MAP, perm=[0, 3, 1, 2])
    return graph.model(
        _pixels(views), [value_info(FEATURE_MAP, TensorProto.FLOAT, ["N", channels, rows, w])]
    )


def cutting_graph(views: Views) -> onnx.ModelProto:
    """The cutting alone: ``pixels`` uint8 [N, side, side, 3] to ``views`` [N * V, size, size, 3].

    An image's views follow each other.
    """
    graph = Nodes()
    _add_cut(graph, views)
    shape: Shape = ["N * V", views.size, views.size, 3]
    return graph.model(_pixels(views), [value_info(VIEWS, TensorProto.UINT8, shape)])


def _pixels(views: Views) -> onnx.ValueInfoProto:
    return value_info(PIXELS, TensorProto.UINT8, ["N", views.input_side, views.input_side, 3])


def _add_cut(graph: Nodes, views: Views) -> None:
    size = views.size
    rows_and_columns = graph.constant("view_axes", np.array([1, 2], np.int64))
    found = []
    for number, side in enumerate(views.sides):
        name, view = f"view{number}", PIXELS
        if side < views.input_side:
            first = views.margin(side)
            start = graph.constant(f"{name}/first", np.array([first] * 2, np.int64))
            end = graph.constant(f"{name}/end", np.array([first + side] * 2, np.int64))
            view = graph.add("Slice", [view, start, end, rows_and_columns], f"{name}/cut")
        if side > size:
            view = _add_resize(graph, view, name, side, size)
        found.append(view)
    # Below each other in bytes, which are then another shape of the same: an image's views in turn.
    column = graph.add("Concat", found, "views_column", axis=1)
    shape = graph.constant(VIEWS_SHAPE, np.array([-1, size, size, 3], np.int64))
    graph.add("Reshape", [column, shape], VIEWS)


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
