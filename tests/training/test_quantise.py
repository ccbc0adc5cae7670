from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from greengrocer.networks.recogniser import AnswerHead, Recogniser
from greengrocer.training.release.export import answer_graph, backbone_graph
from greengrocer.training.release.quantise import quantise
from support.graphs import optimised
from support.networks import COARSE_OF, pictures, prototypes, square

GEOMETRY = square(64)
CONVOLUTIONS = 49  # of EfficientNet-Lite0


@pytest.fixture(scope="module")
def in_float(network: Recogniser) -> onnx.ModelProto:
    return backbone_graph(network.backbone, GEOMETRY)


@pytest.fixture(scope="module")
def in_int8(in_float: onnx.ModelProto) -> onnx.ModelProto:
    return quantise(in_float, list(pictures(16, GEOMETRY)))


def logits(backbone: onnx.ModelProto, network: Recogniser) -> np.ndarray:
    graph = answer_graph(backbone, AnswerHead(network.head, prototypes(), 1.0, COARSE_OF), GEOMETRY)
    session = ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    (evidence,) = session.run(["evidence"], {"pixels": pictures(24, GEOMETRY)})
    return np.asarray(evidence.mean((1, 2)))


def test_the_first_convolution_reads_the_image_as_bytes(
    network: Recogniser, in_int8: onnx.ModelProto, tmp_path: Path
) -> None:
    whole = answer_graph(in_int8, AnswerHead(network.head, prototypes(), 1.0, COARSE_OF), GEOMETRY)
    graph = optimised(whole, tmp_path)
    count = Counter(node.op_type for node in graph.node)
    assert count["QLinearConv"] == CONVOLUTIONS
    assert count["Conv"] == count["QuantizeLinear"] == 0
    assert count["DequantizeLinear"] == 2, "only the features, for the head and for the known score"
    bytes_in = {"pixels"} | {
        node.output[0]
        for node in graph.node
        if node.op_type == "Transpose" and node.input[0] == "pixels"
    }
    first = next(node for node in graph.node if node.op_type == "QLinearConv")
    assert first.input[0] in bytes_in


def test_the_input_scale_is_that_of_the_network(in_int8: onnx.ModelProto) -> None:
    values = {t.name: onnx.numpy_helper.to_array(t) for t in in_int8.graph.initializer}
    first = next(node for node in in_int8.graph.node if node.input[0] == "planes")
    assert first.op_type == "DequantizeLinear"
    assert values[first.input[1]] == 1 / 128
    assert values[first.input[2]] == 127


def test_int8_answers_nearly_as_float_does(
    network: Recogniser, in_float: onnx.ModelProto, in_int8: onnx.ModelProto
) -> None:
    expected, found = logits(in_float, network), logits(in_int8, network)
    error = np.sqrt(np.mean((found - expected) ** 2))
    assert error < 0.15 * expected.std()


def test_the_float_backbone_is_unchanged(in_float: onnx.ModelProto) -> None:
    before = in_float.SerializeToString()
    quantise(in_float, list(pictures(1, GEOMETRY)))
    assert in_float.SerializeToString() == before
