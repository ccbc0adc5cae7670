"""Files that are no models, or models that reach for files, memory or time that is not theirs."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from greengrocer.errors import UsageError
from greengrocer.importing.importer import Probabilities, import_model
from greengrocer.importing.order import Order
from greengrocer.importing.preprocessing import Wishes
from greengrocer.importing.source import read_source
from support.exports import SIDE

FEATURES = (
    helper.make_node("GlobalAveragePool", ["input"], ["pooled"]),
    helper.make_node("Flatten", ["pooled"], ["features"]),
)
LAST = helper.make_node("Identity", ["features"], ["output"])


def value(name: str, shape: Sequence[int | str], kind: int = TensorProto.FLOAT) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def write(path: Path, nodes: Sequence[NodeProto], **constants: object) -> Path:
    """A graph of three mean colours and ``nodes``, as somebody might write it by hand."""
    graph = helper.make_graph(
        nodes,
        "hostile",
        [value("input", ["n", 3, SIDE, SIDE])],
        [value("output", ["n", 3])],
        [numpy_helper.from_array(np.asarray(each), name) for name, each in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def with_weights_in(location: str, length: int, path: Path) -> Path:
    model = onnx.load(write(path, (*FEATURES, LAST), unused=np.zeros(4, np.float32)))
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, text in (("location", location), ("offset", "0"), ("length", str(length))):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, text
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize(
    ("location", "length", "said"),
    [
        ("../secret.bin", 16, "points outside the directory"),
        ("{secret}", 16, "is an absolute path"),
        ("link.bin", 16, "is a symbolic link"),
        ("folder/secret.bin", 16, "resolves outside model directory"),
        ("pipe.bin", 16, "is not regular file"),
        ("short.bin", 16, "exceeds available data"),
        ("sparse.bin", 2**40, "has weights of 1099.5 GB in another file"),
    ],
)
def test_weights_elsewhere_are_refused(
    tmp_path: Path, location: str, length: int, said: str
) -> None:
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(16))
    home = tmp_path / "home"
    home.mkdir()
    (home / "link.bin").symlink_to(secret)
    (home / "folder").symlink_to(tmp_path)
    os.mkfifo(home / "pipe.bin")
    (home / "short.bin").write_bytes(b"1")
    with (home / "sparse.bin").open("wb") as file:
        file.truncate(2**40)
    model = with_weights_in(location.format(secret=secret), length, home / "model.onnx")
    with pytest.raises(UsageError, match=said) as refused:
        read_source(model)
    assert "\n" not in str(refused.value)


def test_weights_in_a_file_beside_the_model_are_read(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(np.arange(4, dtype=np.float32).tobytes())
    source = read_source(with_weights_in("weights.bin", 16, tmp_path / "model.onnx"))
    read = numpy_helper.to_array(source.model.graph.initializer[0])
    assert read.tolist() == [0, 1, 2, 3]


def test_no_file_is_read_that_may_never_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    (tmp_path / "circle.onnx").symlink_to("circle.onnx")
    for path in (tmp_path / "pipe.onnx", tmp_path / "circle.onnx", Path("/dev/zero"), tmp_path):
        with pytest.raises(UsageError, match=str(path)):
            read_source(path)


def test_what_is_cut_off_or_altered_is_refused_or_read(resnet: Path, tmp_path: Path) -> None:
    sound, random = resnet.read_bytes(), np.random.default_rng(0)
    damaged = [sound[: len(sound) * part // 8] for part in range(8)]
    for _ in range(40):
        altered = bytearray(sound)
        for place in random.integers(0, len(sound), 8):
            altered[place] = random.integers(0, 256)
        damaged.append(bytes(altered))
    refused = []
    for content in damaged:
        (tmp_path / "model.onnx").write_bytes(content)
        try:
            read_source(tmp_path / "model.onnx")
        except UsageError as error:
            refused.append(str(error))
    assert len(refused) >= 8
    assert not [text for text in refused if "\n" in text]


def test_a_loop_is_refused(tmp_path: Path) -> None:
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["on"]),
            helper.make_node("Identity", ["before"], ["after"]),
        ],
        "body",
        [
            value("k", [], TensorProto.INT64),
            value("go", [], TensorProto.BOOL),
            value("before", ["n", 3]),
        ],
        [value("on", [], TensorProto.BOOL), value("after", ["n", 3])],
    )
    loop = helper.make_node("Loop", ["times", "yes", "features"], ["output"], body=body)
    model = write(tmp_path / "m.onnx", (*FEATURES, loop), times=np.int64(2**62), yes=np.bool_(1))
    with pytest.raises(UsageError, match=r"has a loop \(Loop\), which may never end"):
        read_source(model)


def order(model: Path) -> Order:
    labels = model.with_name("labels.txt")
    labels.write_text("a\nb\nc\n")
    wishes = Wishes(mean=(0.4, 0.4, 0.4), std=(0.2, 0.2, 0.2))
    return Order(model, model.with_name("bundle"), "hostile", labels, wishes=wishes)


def refuse_to_open(directory: Path) -> Probabilities:
    raise AssertionError(directory)


@pytest.mark.parametrize(
    ("last", "said"),
    [
        (
            [
                helper.make_node("ConstantOfShape", ["many"], ["large"]),
                helper.make_node("ReduceSum", ["large"], ["sum"], keepdims=0),
                helper.make_node("Add", ["features", "sum"], ["output"]),
            ],
            "does not run on an input of 1 x 3 x 32 x 32",
        ),
        ([helper.make_node("Evil", ["features"], ["output"])], "No Op registered for Evil"),
        ([helper.make_node("Log", ["minus"], ["output"])], "answers with what is no number"),
    ],
)
def test_what_does_not_answer_is_refused(tmp_path: Path, last: list[NodeProto], said: str) -> None:
    numbers = {"many": np.array([2**50], np.int64), "minus": np.array([[-1] * 3], np.float32)}
    used = {name for node in last for name in node.input}
    constants = {name: each for name, each in numbers.items() if name in used}
    model = write(tmp_path / "m.onnx", (*FEATURES, *last), **constants)
    with pytest.raises(UsageError, match=said):
        import_model(order(model), refuse_to_open, lambda _: None)
    assert not (tmp_path / "bundle").exists()


def test_nodes_in_the_wrong_order_are_sorted(tmp_path: Path) -> None:
    """As the converter to float16 of ONNX Runtime writes them."""
    model = write(tmp_path / "m.onnx", (LAST, FEATURES[1], FEATURES[0]))
    nodes = read_source(model).model.graph.node
    assert [node.op_type for node in nodes] == ["GlobalAveragePool", "Flatten", "Identity"]


def test_nodes_in_a_circle_are_refused(tmp_path: Path) -> None:
    circle = [
        helper.make_node("Add", ["features", "b"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Identity", ["b"], ["output"]),
    ]
    with pytest.raises(UsageError, match="topologically sorted"):
        read_source(write(tmp_path / "m.onnx", (*FEATURES, *circle)))
