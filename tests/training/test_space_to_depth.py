from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greengrocer.networks.recogniser import AnswerHead, Recogniser
from greengrocer.training.release.export import answer_graph, backbone_graph
from greengrocer.training.release.quantise import quantise
from greengrocer.training.release.space_to_depth import (
    TOGETHER,
    space_to_depth_kernel,
    space_to_depth_stem,
)
from support.graphs import optimised
from support.networks import COARSE_OF, pictures, prototypes, square


def int8_graph(network: Recogniser, side: int) -> onnx.ModelProto:
    geometry = square(side)
    backbone = quantise(backbone_graph(network.backbone, geometry), list(pictures(4, geometry)))
    return answer_graph(backbone, AnswerHead(network.head, prototypes(), 1.0, COARSE_OF), geometry)


def answers(graph: onnx.ModelProto, batch: np.ndarray) -> list[np.ndarray]:
    session = ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"pixels": batch})  # type: ignore[no-any-return]


@pytest.mark.parametrize("side", [64, 68])
def test_the_answers_are_bit_identical(network: Recogniser, side: int) -> None:
    graph = int8_graph(network, side)
    folded = space_to_depth_stem(graph)
    assert folded.SerializeToString() != graph.SerializeToString()
    noise = np.random.default_rng(1).integers(0, 256, (3, side, side, 3), np.uint8)
    for batch in (pictures(1, square(side)), noise):
        for expected, found in zip(answers(graph, batch), answers(folded, batch), strict=True):
            np.testing.assert_array_equal(found, expected)


def test_a_width_that_is_no_multiple_of_four_is_unchanged(network: Recogniser) -> None:
    graph = int8_graph(network, 66)
    assert space_to_depth_stem(graph).SerializeToString() == graph.SerializeToString()


def test_no_transpose_is_added_around_the_first_convolution(
    network: Recogniser, tmp_path: Path
) -> None:
    nodes = optimised(space_to_depth_stem(int8_graph(network, 64)), tmp_path).node
    assert [node.op_type for node in nodes[:3]] == ["Reshape", "QLinearConv", "Reshape"]
    assert Counter(node.op_type for node in nodes)["Transpose"] <= 1, "the features', for the head"


@given(
    columns=st.integers(1, 5),
    left=st.integers(0, 2),
    stride=st.sampled_from([1, 2, 4]),
    fours=st.integers(2, 4),
    seed=st.integers(0, 9),
)
def test_a_folded_kernel_gives_the_same_sums(
    columns: int, left: int, stride: int, fours: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    row = random.integers(-9, 10, (fours * TOGETHER, 3))
    weights = random.integers(-9, 10, (2, 3, 1, columns))
    kernel = space_to_depth_kernel(weights, left, stride)
    expected = moved(row, weights, left, stride, fours * TOGETHER // stride)
    by_fours = row.reshape(fours, -1)
    found = moved(by_fours, kernel.weights, kernel.left, 1, fours)
    np.testing.assert_array_equal(found.reshape(expected.shape), expected)


def moved(row: np.ndarray, weights: np.ndarray, left: int, stride: int, count: int) -> np.ndarray:
    """``weights`` [outputs, channels, 1, columns] over ``row`` [pixels, channels], zeros beyond."""
    columns = weights.shape[-1]
    padded = np.pad(row, ((left, columns + stride * count), (0, 0)))
    windows = [padded[stride * new : stride * new + columns] for new in range(count)]
    return np.stack([np.einsum("oci,ic->o", weights[:, :, 0], seen) for seen in windows])
