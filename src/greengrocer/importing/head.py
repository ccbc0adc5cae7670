"""The answer head behind an imported body: probabilities, and what else the graph allows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from greengrocer.engines.engine import Floats
from greengrocer.figures.known_score import PROBABILITY_POWER
from greengrocer.importing.ending import Ending
from greengrocer.importing.fold import CUT, Body
from greengrocer.importing.graph import Growing, floats

LEAST = np.float32(1e-12)
RAW_LOGITS, FEATURES = "raw_logits", "features"


@dataclass(frozen=True)
class Prototypes:
    """``centre`` [channels] and ``directions`` [M, channels] of length 1, of known images."""

    centre: Floats
    directions: Floats


@dataclass(frozen=True)
class Head:
    """What the answers are made of.

    ``gives_probabilities``: the graph's scores are probabilities whose softmax was not found.
    ``evidence``: whether the map's share of each logit is given.
    """

    classes: int
    gives_probabilities: bool
    evidence: bool
    temperature: float = 1.0
    prototypes: Prototypes | None = None
    coarse_of: Sequence[int] | None = None


def has_features(ending: Ending) -> bool:
    """Whether there are features below the logits, for a known score."""
    return ending.linear is not None


def answer_graph(body: Body, ending: Ending, head: Head) -> onnx.ModelProto:
    """The whole graph, which keeps the bundle's contract.

    ``pixels`` uint8 [N, H, W, 3] to float32 ``probabilities`` [N, classes], and where there are
    such, ``coarse`` [N, coarse], ``known_score`` [N] and ``evidence`` [N, h, w, classes].
    """
    growing = Growing(body.model)
    logits, shape = _logits(growing, ending, head, body.cut_shape)
    batch = body.batch
    _named(growing, "Softmax", [logits], "probabilities", axis=1)
    outputs = [floats("probabilities", [batch, head.classes])]
    if head.coarse_of is not None:
        members = np.eye(max(head.coarse_of) + 1, dtype=np.float32)[list(head.coarse_of)]
        membership = growing.constant("coarse_membership", members)
        _named(growing, "MatMul", ["probabilities", membership], "coarse")
        outputs.append(floats("coarse", [batch, members.shape[1]]))
    if head.prototypes is not None:
        _add_known_score(growing, head, logits, _features(growing, ending, body.cut_shape))
        outputs.append(floats("known_score", [batch]))
    if head.evidence:
        outputs.append(floats("evidence", [batch, *shape, head.classes]))
    model = growing.finish(body.model.graph.input[0], outputs)
    onnx.checker.check_model(model)
    return model


def raw_graph(body: Body, ending: Ending, head: Head) -> onnx.ModelProto:
    """``pixels`` to ``raw_logits`` [N, classes] and, where there are any, ``features`` [N, D]."""
    growing = Growing(body.model)
    logits, _ = _logits(growing, ending, head, body.cut_shape)
    _named(growing, "Identity", [logits], RAW_LOGITS)
    outputs = [floats(RAW_LOGITS, [body.batch, head.classes])]
    if has_features(ending):
        _named(growing, "Identity", [_features(growing, ending, body.cut_shape)], FEATURES)
        outputs.append(helper.make_tensor_value_info(FEATURES, TensorProto.FLOAT, None))
    return growing.finish(body.model.graph.input[0], outputs)


def _named(growing: Growing, operator: str, inputs: list[str], name: str, **how: Any) -> None:
    """Add a node whose output bears a name of the contract."""
    growing.graph.node.append(helper.make_node(operator, inputs, [name], name, **how))


def _logits(
    growing: Growing, ending: Ending, head: Head, shape: tuple[int, ...]
) -> tuple[str, tuple[int, ...]]:
    """The calibrated logits [N, classes], and rows and columns of the evidence."""
    scale, linear = np.float32(head.temperature), ending.linear
    if ending.places is not None and head.evidence:
        by_place, sides = _by_place(growing, ending, shape), _sides(ending, shape)
        if linear is None:
            divisor = growing.constant("temperature_of_map", scale)
            _named(growing, "Div", [by_place, divisor], "evidence")
        else:
            weight = growing.constant("answer_weight", linear.weight / scale)
            bias = growing.constant("answer_bias", linear.bias / scale)
            unbiased = growing.add("MatMul", [by_place, weight], "evidence_unbiased")
            _named(growing, "Add", [unbiased, bias], "evidence")
        return growing.reduce("ReduceMean", "evidence", "logits", [1, 2]), sides
    if linear is not None:
        weight = growing.constant("answer_weight", linear.weight / scale)
        bias = growing.constant("answer_bias", linear.bias / scale)
        features = _features(growing, ending, shape)
        return growing.add("Gemm", [features, weight, bias], "logits"), ()
    pooled = CUT
    if ending.places is not None:
        axes = [1, 2] if ending.places.channels_last else [2, 3]
        pooled = growing.reduce("ReduceMean", CUT, "scores_pooled", axes)
    flat = growing.add("Flatten", [pooled], "scores", axis=1)
    if head.gives_probabilities:
        least = growing.constant("least_probability", LEAST)
        flat = growing.add("Log", [growing.add("Max", [flat, least], "scores_least")], "log_scores")
    divisor = growing.constant("temperature_of_scores", scale)
    return growing.add("Div", [flat, divisor], "logits"), ()


def _sides(ending: Ending, shape: tuple[int, ...]) -> tuple[int, ...]:
    assert ending.places is not None
    return shape[:2] if ending.places.channels_last else shape[1:3]


def _by_place(growing: Growing, ending: Ending, shape: tuple[int, ...]) -> str:
    assert len(shape) == 3
    assert ending.places is not None
    if ending.places.channels_last:
        return CUT
    return growing.add("Transpose", [CUT], "features_by_place", perm=[0, 2, 3, 1])


def _features(growing: Growing, ending: Ending, shape: tuple[int, ...]) -> str:
    """The features [N, channels] that the linear layer reads; added once."""
    name = "features_pooled" if ending.places is not None else "features_flat"
    known = {output for node in growing.graph.node for output in node.output}
    if f"greengrocer/{name}" in known:
        return f"greengrocer/{name}"
    if ending.places is not None:
        axes = [1, 2] if ending.places.channels_last else [2, 3]
        return growing.reduce("ReduceMean", CUT, name, axes)
    assert shape
    return growing.add("Flatten", [CUT], name, axis=1)


def _add_known_score(growing: Growing, head: Head, logits: str, features: str) -> None:
    """``known_score`` as ``figures.known_score`` has it, of the features and the logits."""
    prototypes = head.prototypes
    assert prototypes is not None
    centre = growing.constant("prototype_centre", prototypes.centre)
    offset = growing.add("Sub", [features, centre], "prototype_offset")
    length = growing.reduce("ReduceL2", offset, "prototype_length", [1], keep=1)
    least = growing.constant("prototype_least", LEAST)
    length = growing.add("Max", [length, least], "prototype_divisor")
    direction = growing.add("Div", [offset, length], "prototype_direction")
    turned = np.ascontiguousarray(prototypes.directions.T, np.float32)
    directions = growing.constant("prototypes", turned)
    cosines = growing.add("MatMul", [direction, directions], "prototype_cosines")
    nearest = growing.reduce("ReduceMax", cosines, "prototype_nearest", [1])
    zero = growing.constant("score_least", np.float32(0))
    one = growing.constant("score_most", np.float32(1))
    nearest = growing.add("Clip", [nearest, zero, one], "prototype_share")
    temperature = growing.constant("temperature", np.float32(head.temperature))
    raw = growing.add("Mul", [logits, temperature], "logits_uncalibrated")
    softmax = growing.add("Softmax", [raw], "probabilities_uncalibrated", axis=1)
    decided = growing.reduce("ReduceMax", softmax, "decided", [1])
    power = growing.constant("decided_power", np.float32(PROBABILITY_POWER))
    root = growing.add("Pow", [decided, power], "decided_root")
    _named(growing, "Mul", [nearest, root], "known_score")
