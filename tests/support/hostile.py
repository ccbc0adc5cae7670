"""Hostile graphs with correct checksums."""

from collections.abc import Callable

import numpy as np
import onnx
import onnx.helper as oh
from onnx import TensorProto, numpy_helper

from support.graphs import grey_graph

FOR_EVER = 1 << 62


def unknown_operator() -> bytes:
    """An operator that ONNX does not have."""
    return _changed(lambda model: setattr(model.graph.node[0], "op_type", "Frobnicate"))


def unknown_domain() -> bytes:
    """An operator of somebody's own library."""

    def change(model: onnx.ModelProto) -> None:
        model.graph.node[0].domain = "com.example"
        model.opset_import.append(oh.make_opsetid("com.example", 1))

    return _changed(change)


def external_data(location: str) -> bytes:
    """The centres of its classes lie in another file."""

    def change(model: onnx.ModelProto) -> None:
        (centres,) = (each for each in model.graph.initializer if each.name == "centres")
        length = len(centres.raw_data)
        centres.ClearField("raw_data")
        centres.data_location = TensorProto.EXTERNAL
        for key, value in (("location", location), ("offset", "0"), ("length", str(length))):
            entry = centres.external_data.add()
            entry.key, entry.value = key, value

    return _changed(change)


def greedy(size: int) -> bytes:
    """It wants so many bytes when it runs."""
    count = numpy_helper.from_array(np.array([size // 4], np.int64), "count")
    nodes = [
        oh.make_node("ConstantOfShape", ["count"], ["room"]),
        oh.make_node("ReduceMax", ["room"], ["nothing"], keepdims=0),
    ]
    return _with_level("nothing", nodes, count)


def endless() -> bytes:
    """It never comes to an end."""
    body = oh.make_graph(
        [oh.make_node("Identity", ["on"], ["still"]), oh.make_node("Identity", ["v"], ["w"])],
        "body",
        [
            oh.make_tensor_value_info("turn", TensorProto.INT64, []),
            oh.make_tensor_value_info("on", TensorProto.BOOL, []),
            oh.make_tensor_value_info("v", TensorProto.FLOAT, []),
        ],
        [
            oh.make_tensor_value_info("still", TensorProto.BOOL, []),
            oh.make_tensor_value_info("w", TensorProto.FLOAT, []),
        ],
    )
    return _with_level(
        "nothing",
        [oh.make_node("Loop", ["turns", "yes", "nought"], ["nothing"], body=body)],
        numpy_helper.from_array(np.array(FOR_EVER, np.int64), "turns"),
        numpy_helper.from_array(np.array(True), "yes"),
        numpy_helper.from_array(np.array(0, np.float32), "nought"),
    )


def not_a_number() -> bytes:
    """Its answers are none."""
    return _with_level("nan", [], numpy_helper.from_array(np.array(np.nan, np.float32), "nan"))


def _with_level(added: str, nodes: list[onnx.NodeProto], *constants: onnx.TensorProto) -> bytes:
    """What ``nodes`` call ``added`` is added to the level of grey that decides everything."""

    def change(model: onnx.ModelProto) -> None:
        model.graph.initializer.extend(constants)
        at = next(k for k, node in enumerate(model.graph.node) if node.output[0] == "level")
        model.graph.node[at].output[0] = "seen"
        new = [*nodes, oh.make_node("Add", ["seen", added], ["level"])]
        for place, node in enumerate(new, start=at + 1):
            model.graph.node.insert(place, node)

    return _changed(change)


def _changed(change: Callable[[onnx.ModelProto], None]) -> bytes:
    model = onnx.load_from_string(grey_graph())
    change(model)
    graph: bytes = model.SerializeToString()
    return graph
