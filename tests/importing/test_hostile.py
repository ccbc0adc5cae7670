"""Files that are no models, or models that reach for files, memory or time that is not theirs."""

import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from greengrocer.cli.main import main
from greengrocer.engines.onnx_runtime import ort
from greengrocer.errors import UsageError
from greengrocer.importing import importer
from greengrocer.importing.ending import find_ending
from greengrocer.importing.graph import Array
from greengrocer.importing.importer import Probabilities, import_model
from greengrocer.importing.order import Order
from greengrocer.importing.preprocessing import Wishes
from greengrocer.importing.source import read_source, run_session
from greengrocer.serving.reloading.trial import Limits, limits_of
from support.exports import SIDE
from support.graphs import grey_graph

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


def with_weights_in(location: str, length: int | str, path: Path) -> Path:
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


@pytest.mark.parametrize("place", ["constant", "subgraph", "function", "sparse"])
@pytest.mark.parametrize("length", [None, 2**40])
def test_weights_elsewhere_count_wherever_the_graph_names_them(
    tmp_path: Path, place: str, length: int | None
) -> None:
    """Without a length, all behind the offset is read."""
    with (tmp_path / "sparse.bin").open("wb") as file:
        file.truncate(2**40)
    tensor = TensorProto(name="w", dims=[4], data_type=TensorProto.FLOAT)
    tensor.data_location = TensorProto.EXTERNAL
    told = {"location": "sparse.bin", "offset": "4096"} | (
        {"length": str(length)} if length else {}
    )
    for key, text in told.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, text
    node = helper.make_node("Constant", [], ["w"], value=tensor)
    model = onnx.load(write(tmp_path / "m.onnx", (*FEATURES, LAST)))
    if place == "constant":
        model.graph.node.append(node)
    elif place == "function":
        imports = [helper.make_opsetid("", 17)]
        model.functions.append(helper.make_function("my", "F", [], ["w"], [node], imports))
    elif place == "subgraph":
        inner = helper.make_graph([node], "inner", [], [value("w", [4])])
        model.graph.node.append(
            helper.make_node("If", ["yes"], ["v"], then_branch=inner, else_branch=inner)
        )
    else:
        sparse = model.graph.sparse_initializer.add()
        sparse.values.CopyFrom(tensor)
        sparse.indices.CopyFrom(tensor)
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(UsageError, match=r"has weights of (1099\.5|2199\.0) GB in another file"):
        read_source(tmp_path / "m.onnx")


@pytest.mark.parametrize("length", [-1, "x", "9" * 30])
def test_weights_elsewhere_without_sound_numbers_are_refused(
    tmp_path: Path, length: int | str
) -> None:
    (tmp_path / "weights.bin").write_bytes(bytes(16))
    with pytest.raises(UsageError, match="does not say in whole numbers where the weights"):
        read_source(with_weights_in("weights.bin", length, tmp_path / "model.onnx"))


def test_a_tensor_of_an_unknown_type_is_refused(tmp_path: Path) -> None:
    model = onnx.load(write(tmp_path / "m.onnx", (*FEATURES, LAST), odd=np.zeros(4)))
    model.graph.initializer[0].data_type = 99
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(UsageError, match="has a tensor 'odd' of the unknown type 99"):
        read_source(tmp_path / "m.onnx")


def test_an_input_of_an_unknown_type_is_refused(tmp_path: Path) -> None:
    model = onnx.load(write(tmp_path / "m.onnx", (*FEATURES, LAST)))
    model.graph.input[0].type.tensor_type.elem_type = 99
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(UsageError, match=r"unknown type 99|not a sound"):
        read_source(tmp_path / "m.onnx")


def test_a_batch_that_nobody_has_memory_for_is_refused_before_it_runs(tmp_path: Path) -> None:
    model = onnx.load(write(tmp_path / "m.onnx", (*FEATURES, LAST)))
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 10**9
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(UsageError, match="exactly 1000000000 images at once, and at most 256"):
        read_source(tmp_path / "m.onnx")


def test_a_constant_behind_thousands_of_nodes_is_read(tmp_path: Path) -> None:
    weight = np.eye(3, dtype=np.float32)
    names = ["w", *(f"w{k}" for k in range(3000))]
    chain = [helper.make_node("Identity", [a], [b]) for a, b in pairwise(names)]
    chain[7].op_type = "Transpose"
    last = helper.make_node("MatMul", ["features", names[-1]], ["output"])
    source = read_source(write(tmp_path / "m.onnx", (*FEATURES, *chain, last), w=weight))
    found = find_ending(source).linear
    assert found is not None
    np.testing.assert_array_equal(found.weight, weight)


def test_the_graph_of_a_bundle_is_named_as_such(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(grey_graph())
    with pytest.raises(UsageError, match="is the graph of a bundle already"):
        read_source(tmp_path / "m.onnx")


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


def test_a_graph_that_is_too_slow_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[Limits] = []
    monkeypatch.setattr(importer, "limit_trial", limits.append)  # this process goes on
    monkeypatch.setattr(importer, "MOST_SECONDS", 0)
    model = write(tmp_path / "m.onnx", (*FEATURES, LAST))
    with pytest.raises(UsageError, match="seconds of the processor for an image, over 0"):
        importer.try_import(order(model))
    assert set(limits) == {limits_of(model.stat().st_size)}


def costly_for_light_images(path: Path) -> Path:
    """A graph that fills no memory for images whose mean is 0.6 of white or less."""
    mean = helper.make_node("ReduceMean", ["input"], ["mean"], keepdims=0)
    over = helper.make_node("Sub", ["mean", "threshold"], ["over"])
    light = helper.make_node("Relu", ["over"], ["light"])
    nodes = [
        *(mean, over, light),
        helper.make_node("Mul", ["light", "many"], ["bytes"]),
        helper.make_node("Cast", ["bytes"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Reshape", ["whole", "one"], ["size"]),
        helper.make_node("ConstantOfShape", ["size"], ["large"]),
        helper.make_node("ReduceSum", ["large"], ["sum"], keepdims=0),
        helper.make_node("Add", ["features", "sum"], ["output"]),
    ]
    numbers = {
        "threshold": np.array(1.0, np.float32),  # of (0.6 - 0.4) / 0.2
        "many": np.array(1e12, np.float32),
        "one": np.array([1], np.int64),
    }
    return write(path, (*FEATURES, *nodes), **numbers)


def test_a_trial_shows_light_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importer, "limit_trial", lambda _: None)
    with pytest.raises(UsageError, match="does not run on an input of 1 x 32 x 32 x 3"):
        importer.try_import(order(costly_for_light_images(tmp_path / "m.onnx")))


def test_a_run_that_takes_too_long_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("greengrocer.importing.run_limits.SECONDS", 0)
    nodes = [
        helper.make_node("Relu", [a], [b]) for a, b in pairwise(["input", *map(str, range(999))])
    ]
    pooled = helper.make_node("GlobalAveragePool", ["998"], ["pooled"])
    model = write(tmp_path / "m.onnx", (*nodes, pooled, FEATURES[1], LAST))
    session = read_source(model).session()
    said = "^m.onnx took over 0 seconds for an image: import a smaller network$"
    with pytest.raises(UsageError, match=said):
        run_for_ever(session, {"input": np.zeros((1, 3, SIDE, SIDE), np.float32)})


def run_for_ever(session: ort.InferenceSession, feed: dict[str, Array]) -> None:
    while True:  # the watch may come after a run's end
        run_session(session, None, feed, "m.onnx")


def test_what_takes_too_much_is_refused_in_a_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Forty doublings of a tensor, which are within 64 bits."""
    names = ["input", *(f"c{k}" for k in range(40))]
    nodes = [helper.make_node("Concat", [a, a], [b], axis=2) for a, b in pairwise(names)]
    pooled = helper.make_node("GlobalAveragePool", [names[-1]], ["pooled"])
    model = write(tmp_path / "m.onnx", (*nodes, pooled, FEATURES[1], LAST))
    order(model)
    flags = ["--labels", str(tmp_path / "labels.txt"), "--preset", "torchvision"]
    assert main(["import", str(model), *flags, "--out", str(tmp_path / "bundle")]) == 2
    said = capfd.readouterr().err
    assert "does not run on an input of 1 x 3 x 32 x 32" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "bundle").exists()


def any_sides(path: Path, *nodes: NodeProto) -> Path:
    """A graph that tells no side of its input, whose first node is a constant."""
    zero = helper.make_node("Constant", [], ["zero"], value_float=0.0)
    model = onnx.load(write(path, (zero, *nodes)))
    for side in model.graph.input[0].type.tensor_type.shape.dim:
        side.dim_param = "any"
    path.write_bytes(model.SerializeToString())
    return path


def test_a_constant_does_not_tell_where_the_channels_are(tmp_path: Path) -> None:
    model = any_sides(tmp_path / "m.onnx", *FEATURES, LAST)
    with pytest.raises(UsageError, match="does not tell where its channels are: give --layout"):
        read_source(model)
    turned = helper.make_node("Transpose", ["input"], ["planes"], perm=[0, 3, 1, 2])
    pooled = helper.make_node("GlobalAveragePool", ["planes"], ["pooled"])
    model = any_sides(tmp_path / "m.onnx", turned, pooled, FEATURES[1], LAST)
    assert read_source(model).layout == "NHWC"


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
