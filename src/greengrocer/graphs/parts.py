"""A graph of ours taken apart again: its backbone, and the head behind it."""

import copy
from collections.abc import Iterable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from greengrocer.graphs.answers import PLACES, Floats, Head
from greengrocer.graphs.nodes import FEATURE_MAP, PIXELS, value_info

FIRST_OF_HEAD = "features_by_place"
# The names of the prototypes' centre and directions, and those that they had at first.
PROTOTYPES = (
    ("prototype_centre", "prototypes_float16"),
    ("familiar_centre", "familiar_prototypes"),
)


def take_apart(model: onnx.ModelProto) -> tuple[onnx.ModelProto, Head]:
    """The backbone, ``pixels`` to the feature map, and the head as it was before calibration.

    Raises ValueError for a graph that ``answer_graph`` did not write.
    """
    names = [node.name for node in model.graph.node]
    constants = {each.name: each for each in model.graph.initializer}
    outputs = {each.name: each for each in model.graph.output}
    try:
        cut = names.index(FIRST_OF_HEAD)
        weight, bias, temperature = (
            numpy_helper.to_array(constants[name])
            for name in ("answer_weight", "answer_bias", "temperature")
        )
        named = next(each for each in PROTOTYPES if each[0] in constants)
        centre, halves = (numpy_helper.to_array(constants[name]) for name in named)
        evidence = outputs["evidence"].type.tensor_type.shape.dim
    except (KeyError, ValueError, StopIteration) as error:
        raise ValueError("the graph has no head of ours behind its backbone") from error
    coarse_of = None
    if "coarse_membership" in constants:
        members = numpy_helper.to_array(constants["coarse_membership"])
        coarse_of = members.argmax(axis=1).tolist()
    places = numpy_helper.to_array(constants[PLACES]) if PLACES in constants else None
    head = Head(
        weight=(weight * temperature).astype(np.float32),
        bias=(bias * temperature).astype(np.float32),
        centre=centre.astype(np.float32),
        directions=halves.T.astype(np.float32),
        temperature=float(temperature),
        coarse_of=coarse_of,
        places=places,
    )
    _check_head(head)
    rows, columns = (side.dim_value for side in evidence[1:3])
    if places is not None:
        _check_places(places, rows, columns)
        rows, columns = places.shape[0] * places.shape[2], places.shape[2]
    return _backbone(model, cut, [len(weight), rows, columns]), head


def _check_head(head: Head) -> None:
    """Raise ValueError where the parts of ``head`` do not fit together, or are not finite."""
    fits = head.weight.ndim == 2 and head.directions.ndim == 2
    if fits:
        channels, classes = head.weight.shape
        fits = head.bias.shape == (classes,) and head.centre.shape == (channels,)
        fits = fits and head.directions.shape[1] == channels and head.temperature > 0
    parts = (head.weight, head.bias, head.centre, head.directions)
    if not fits or not all(np.isfinite(part).all() for part in parts):
        raise ValueError("the parts of the graph's head do not fit together, or are not finite")


def _check_places(places: Floats, rows: int, columns: int) -> None:
    """Raise ValueError where ``places`` do not keep the mean of evidence with these sides."""
    fits = places.ndim == 3 and places.dtype == np.float32 and places.size > 0
    if fits:
        _, cells, own = places.shape
        sums = places.sum(axis=1) * own / cells
        fits = rows == columns == cells and bool((places >= 0).all() and np.allclose(sums, 1))
    if not fits:
        raise ValueError("the graph does not lay the evidence of its views on its grid")


def _read(nodes: Iterable[onnx.NodeProto]) -> set[str]:
    """The names of what ``nodes`` read, those in their branches as well."""
    found: set[str] = set()
    for node in nodes:
        found.update(node.input)
        for attribute in node.attribute:
            found |= _read(attribute.g.node)
    return found


def _backbone(model: onnx.ModelProto, cut: int, shape: list[int]) -> onnx.ModelProto:
    nodes = list(model.graph.node)[:cut]
    read = _read(nodes)
    source = next(each for each in model.graph.input if each.name == PIXELS)
    graph = helper.make_graph(
        copy.deepcopy(nodes),
        "backbone",
        [source],
        [value_info(FEATURE_MAP, TensorProto.FLOAT, ["N", *shape])],
        [each for each in model.graph.initializer if each.name in read],
    )
    return helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
