"""Hostile graphs with correct checksums."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
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


def greedy_for_white(size: int) -> bytes:
    """It wants so many bytes when it runs with a white image."""
    nodes = [
        oh.make_node("ReduceMax", ["seen"], ["palest"], keepdims=0),
        oh.make_node("Greater", ["palest", "pale"], ["is_white"]),
        oh.make_node("Where", ["is_white", "many", "one"], ["count"]),
        oh.make_node("ConstantOfShape", ["count"], ["room"]),
        oh.make_node("ReduceMax", ["room"], ["nothing"], keepdims=0),
    ]
    return _with_level(
        "nothing",
        nodes,
        numpy_helper.from_array(np.array(9.9, np.float32), "pale"),
        numpy_helper.from_array(np.array([size // 4], np.int64), "many"),
        numpy_helper.from_array(np.array([1], np.int64), "one"),
    )


def endless() -> bytes:
    """It never comes to an end."""
    turns = numpy_helper.from_array(np.array(FOR_EVER, np.int64), "turns")
    return _with_loop([], turns)


def endless_for_white() -> bytes:
    """It never comes to an end with a white image; others have their answers."""
    nodes = [
        oh.make_node("ReduceMax", ["seen"], ["palest"], keepdims=0),
        oh.make_node("Greater", ["palest", "pale"], ["is_white"]),
        oh.make_node("Where", ["is_white", "for_ever", "never"], ["turns"]),
    ]
    return _with_loop(
        nodes,
        numpy_helper.from_array(np.array(9.9, np.float32), "pale"),
        numpy_helper.from_array(np.array(FOR_EVER, np.int64), "for_ever"),
        numpy_helper.from_array(np.array(0, np.int64), "never"),
    )


def _with_loop(nodes: list[onnx.NodeProto], *constants: onnx.TensorProto) -> bytes:
    """It does nothing, as often as ``turns`` says, before it goes on."""
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
        [*nodes, oh.make_node("Loop", ["turns", "yes", "nought"], ["nothing"], body=body)],
        *constants,
        numpy_helper.from_array(np.array(True), "yes"),
        numpy_helper.from_array(np.array(0, np.float32), "nought"),
    )


def not_a_number() -> bytes:
    """Its answers are none."""
    return _with_level("nan", [], numpy_helper.from_array(np.array(np.nan, np.float32), "nan"))


def for_white(probabilities: npt.NDArray[np.float32]) -> bytes:
    """A white image has these as its probabilities, whatever their shape; others have theirs."""

    def change(model: onnx.ModelProto) -> None:
        sound = next(node for node in model.graph.node if node.output[0] == "probabilities")
        for node in model.graph.node:
            for at, name in enumerate(node.input):
                if name == "probabilities":
                    node.input[at] = "sound"
        sound.output[0] = "sound"
        given = numpy_helper.from_array(probabilities, "given")
        answers = oh.make_tensor_value_info("answer", TensorProto.FLOAT, None)
        others = oh.make_tensor_value_info("others", TensorProto.FLOAT, None)
        white = [oh.make_node("Constant", [], ["answer"], value=given)]
        grey = [oh.make_node("Identity", ["sound"], ["others"])]
        model.graph.initializer.append(numpy_helper.from_array(np.array(9.9, np.float32), "pale"))
        model.graph.node.extend(
            [
                oh.make_node("ReduceMax", ["level"], ["palest"], keepdims=0),
                oh.make_node("Greater", ["palest", "pale"], ["is_white"]),
                oh.make_node(
                    "If",
                    ["is_white"],
                    ["probabilities"],
                    then_branch=oh.make_graph(white, "white", [], [answers]),
                    else_branch=oh.make_graph(grey, "grey", [], [others]),
                ),
            ]
        )

    return _changed(change)


def fails_for_white() -> bytes:
    """It cannot run for a white image: an operator is to give a shape that its input cannot have.

    For other images the same operator changes nothing.
    """
    nodes = [
        oh.make_node("ReduceMax", ["seen"], ["palest"], keepdims=0),
        oh.make_node("Greater", ["palest", "pale"], ["is_white"]),
        oh.make_node("Where", ["is_white", "never", "always"], ["sides"]),
        oh.make_node("Reshape", ["seen", "sides"], ["laid"]),
        oh.make_node("ReduceMax", ["laid"], ["as_pale"], keepdims=0),
        oh.make_node("Sub", ["as_pale", "palest"], ["nothing"]),
    ]
    return _with_level(
        "nothing",
        nodes,
        numpy_helper.from_array(np.array(9.9, np.float32), "pale"),
        numpy_helper.from_array(np.array([7, 13], np.int64), "never"),
        numpy_helper.from_array(np.array([-1, 1], np.int64), "always"),
    )


def fails_by_what_it_finds() -> bytes:
    """It cannot run for a white image: an operator finds one place in it, and five are needed.

    In other images it finds none, which is well.
    """
    nodes = [
        oh.make_node("ReduceMax", ["seen"], ["palest"], keepdims=0),
        oh.make_node("Greater", ["palest", "pale"], ["is_white"]),
        oh.make_node("Reshape", ["is_white", "one"], ["row"]),
        oh.make_node("NonZero", ["row"], ["places"]),
        oh.make_node("Cast", ["places"], ["found"], to=TensorProto.FLOAT),
        oh.make_node("Reshape", ["found", "by_fives"], ["laid"]),
        oh.make_node("ReduceSum", ["laid"], ["nothing"], keepdims=0),
    ]
    return _with_level(
        "nothing",
        nodes,
        numpy_helper.from_array(np.array(9.9, np.float32), "pale"),
        numpy_helper.from_array(np.array([1], np.int64), "one"),
        numpy_helper.from_array(np.array([-1, 5], np.int64), "by_fives"),
    )


def no_places() -> bytes:
    """Its evidence has no rows."""

    def change(model: onnx.ModelProto) -> None:
        last = next(node for node in model.graph.node if node.output[0] == "evidence")
        last.output[0] = "places"
        sides = numpy_helper.from_array(np.array([1, 0, 5, 10], np.int64), "sides")
        model.graph.initializer.append(sides)
        model.graph.node.append(oh.make_node("Expand", ["nought", "sides"], ["evidence"]))
        nought = numpy_helper.from_array(np.zeros((1, 1, 1, 1), np.float32), "nought")
        model.graph.initializer.append(nought)
        given = next(each for each in model.graph.output if each.name == "evidence")
        given.CopyFrom(oh.make_tensor_value_info("evidence", TensorProto.FLOAT, [1, 0, 5, 10]))

    return _changed(change)


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
