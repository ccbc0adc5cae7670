"""How much of a source's ending is taken for its own: what proves true on pixels."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from greengrocer.imaging.geometry import Geometry
from greengrocer.importing.preprocessing import WHITE, ZERO, Preprocessing
from greengrocer.importing.source import read_source
from greengrocer.importing.understand import Understood, understand
from support.exports import SIDE

HOW = Preprocessing(ZERO, (WHITE, WHITE, WHITE))


def pooled(path: Path, kind: int, *, rounded: bool) -> Path:
    """A linear layer on mean colours; ``rounded``: to whole numbers, so places do not sum up."""
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    whole = [
        helper.make_node("Cast", ["features"], ["whole"], to=TensorProto.INT32),
        helper.make_node("Cast", ["whole"], ["again"], to=kind),
    ]
    nodes = [
        helper.make_node("Mul", ["input", "four"], ["large"]),
        helper.make_node("GlobalAveragePool", ["large"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["features"]),
        *(whole if rounded else ()),
        helper.make_node("MatMul", ["again" if rounded else "features", "weight"], ["output"]),
    ]
    constants = {"four": np.array(4, dtype), "weight": np.eye(3, dtype=dtype)}
    graph = helper.make_graph(
        nodes,
        "pooled",
        [helper.make_tensor_value_info("input", kind, ["n", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("output", kind, ["n", 3])],
        [numpy_helper.from_array(each, name) for name, each in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


def understood(path: Path) -> Understood:
    return understand(read_source(path), HOW, Geometry(width=SIDE, height=SIDE), lambda _: None)


@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.FLOAT16])
def test_evidence_is_given_only_where_it_sums_to_the_logits(tmp_path: Path, kind: int) -> None:
    assert understood(pooled(tmp_path / "plain.onnx", kind, rounded=False)).head.evidence
    found = understood(pooled(tmp_path / "rounded.onnx", kind, rounded=True))
    assert not found.head.evidence
    assert found.ending.why == "its map does not sum to the logits"
