"""Read an ONNX classifier: its input, its output, and what its producer wrote into it."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from onnx import TensorProto

from greengrocer.engines.contract import reason_of
from greengrocer.engines.onnx_runtime import ort
from greengrocer.errors import UsageError
from greengrocer.importing.graph import (
    OLDEST,
    Array,
    Reading,
    attribute,
    opset,
    shape_of,
    sort_nodes,
)
from greengrocer.importing.run_limits import limited_run
from greengrocer.importing.tensors import MOST_BYTES, all_nodes, check_tensors
from greengrocer.regular_files import open_regular
from greengrocer.safe_text import MAX_REASON, words_of

MOST_BATCH = 256  # images at once that a graph may insist on
FATAL_ONLY = 4
TYPES: "dict[int, np.dtype[Any]]" = {
    TensorProto.FLOAT: np.dtype(np.float32),
    TensorProto.FLOAT16: np.dtype(np.float16),
    TensorProto.UINT8: np.dtype(np.uint8),
}

Layout = Literal["NCHW", "NHWC"]


@dataclass(frozen=True)
class Source:
    """A classifier as somebody exported it.

    ``height`` and ``width`` are None where the graph takes any. ``batch`` is None where any number
    of images may come at once. ``output`` is the tensor of scores, [N, classes] or the same with
    sides of 1; ``classes`` is None where the graph does not tell how many there are.
    """

    path: Path
    model: onnx.ModelProto
    input: str
    layout: Layout
    type: "np.dtype[Any]"
    batch: int | None
    height: int | None
    width: int | None
    output: str
    classes: int | None
    metadata: dict[str, str]

    def session(self) -> ort.InferenceSession:
        """The unchanged graph in ONNX Runtime; raises UsageError where it does not load."""
        return open_session(self.model, str(self.path))


def read_source(path: Path, layout: Layout | None = None, output: str | None = None) -> Source:
    """The classifier in the ONNX file ``path``; raises UsageError, in one line."""
    model = _load(path)
    if opset(model) < OLDEST:
        raise UsageError(
            f"{path} has the ONNX opset {opset(model)}: {OLDEST} or later is needed, "
            "export it again with opset_version=17"
        )
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    _check_foreign(path, model, inputs)
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs) or "none"
        raise UsageError(f"{path} has the inputs {names}: a classifier of images has one")
    shape, kind = shape_of(inputs[0]), inputs[0].type.tensor_type.elem_type
    if len(shape) != 4 or kind not in TYPES:
        raise UsageError(
            f"{path} takes {inputs[0].name} of {_described(shape, kind)}: images are float or "
            "uint8, [batch, 3, height, width] or [batch, height, width, 3]"
        )
    if (shape[0] or 0) > MOST_BATCH:
        raise UsageError(
            f"{path} takes exactly {shape[0]} images at once, and at most {MOST_BATCH} are tried: "
            "export it again for one, or with a dynamic batch"
        )
    layout = layout or _layout(path, model, inputs[0].name, shape)
    if shape[1 if layout == "NCHW" else 3] not in (3, None):
        raise UsageError(
            f"{path} takes images of {_described(shape, kind)}, not of RGB, which are wanted"
        )
    height, width = shape[2:] if layout == "NCHW" else shape[1:3]
    scores = _scores(path, model, output)
    return Source(
        path=path,
        model=model,
        input=inputs[0].name,
        layout=layout,
        type=TYPES[kind],
        batch=shape[0],
        height=height,
        width=width,
        output=scores.name,
        classes=_classes(shape_of(scores)),
        metadata={each.key: each.value for each in model.metadata_props},
    )


def _check_foreign(
    path: Path, model: onnx.ModelProto, inputs: Sequence[onnx.ValueInfoProto]
) -> None:
    """Refuse the graph of a bundle, which needs no import."""
    outputs = {each.name for each in model.graph.output}
    ours = "probabilities" in outputs and ("known_score" in outputs or "evidence" in outputs)
    if ours and [each.name for each in inputs] == ["pixels"]:
        raise UsageError(
            f"{path} is the graph of a bundle already, with its preprocessing and its answers: "
            "serve the bundle by `greengrocer serve --bundle DIR`, or make one of the graph by "
            "`greengrocer bundle pack`"
        )


def open_session(model: onnx.ModelProto, what: str) -> ort.InferenceSession:
    """A session of ``model``, silent; raises UsageError where ONNX Runtime does not take it.

    Raises MemoryError where there is none for its bytes.
    """
    options = ort.SessionOptions()
    options.log_severity_level = FATAL_ONLY
    options.intra_op_num_threads = 1
    try:
        data = model.SerializeToString()
    except Exception as error:  # protobuf's; the model has far less than its limit of 2 GiB
        raise MemoryError from error
    try:
        return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no common base
        reason = reason_of(error)
        raise UsageError(f"{what} does not load in ONNX Runtime: {reason}") from error


def run_session(
    session: ort.InferenceSession, outputs: Sequence[str] | None, feed: dict[str, Array], what: str
) -> list[Array]:
    """What ``session`` answers; raises UsageError where it fails, as for want of memory or time."""
    try:
        with limited_run(what) as options:
            return [np.asarray(each) for each in session.run(outputs, feed, options)]
    except UsageError:
        raise
    except Exception as error:  # its exceptions have no common base
        (shape,) = (each.shape for each in feed.values())
        reason = " ".join(words_of(error).split())[:MAX_REASON]
        raise UsageError(
            f"{what} does not run on an input of {' x '.join(map(str, shape))}: {reason}"
        ) from error


def two_sided(scores: Array) -> Array:
    """Scores as float32 [N, classes], where they came with further sides of 1."""
    return np.asarray(scores, np.float32).reshape(len(scores), -1)


def bytes_of(path: Path) -> int:
    """The bytes of the model in ``path``, those in other files included; raises UsageError."""
    model = _parse(path)
    return path.stat().st_size + check_tensors(path, model)


def _load(path: Path) -> onnx.ModelProto:
    model = _parse(path)
    check_tensors(path, model)
    try:
        # It refuses files that are elsewhere, are links, or lack what is claimed.
        onnx.load_external_data_for_model(model, str(path.parent))
        sort_nodes(model.graph)
        onnx.checker.check_model(model)
    except MemoryError:
        raise
    except Exception as error:  # the checker's
        raise _unsound(path, error) from error
    for node in all_nodes(model):
        if node.op_type in ("Loop", "Scan"):
            raise UsageError(
                f"{path} has a loop ({node.op_type}), which may never end: export it without one"
            )
    return model


def _parse(path: Path) -> onnx.ModelProto:
    """The model in the file ``path``, without what it has in others; raises UsageError."""
    try:
        with open_regular(path) as file:
            _check_size(path, os.fstat(file.fileno()).st_size)
            # Its format is ONNX's own, whatever the file is called.
            return onnx.load(file, format="protobuf", load_external_data=False)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error
    except (UsageError, MemoryError):
        raise
    except Exception as error:  # of protobuf
        raise _unsound(path, error) from error


def _check_size(path: Path, size: int) -> None:
    if size > MOST_BYTES:
        raise UsageError(
            f"{path} has {size / 1e9:.1f} GB: at most {MOST_BYTES / 1e9:g} GB are read"
        )


def _unsound(path: Path, error: Exception) -> UsageError:
    reason = " ".join(words_of(error).split())[:200]
    return UsageError(f"{path} is not a sound ONNX model ({reason}): export it again")


def _layout(path: Path, model: onnx.ModelProto, name: str, shape: list[int | None]) -> Layout:
    """Where the channels are: by the sides, else by what reads the input first."""
    first, last = shape[1] == 3, shape[3] == 3
    if first != last:
        return "NCHW" if first else "NHWC"
    reading = Reading(model)
    for node in model.graph.node:
        first_input = next(iter(node.input), "")  # a constant has none
        if reading.before(first_input, {"Cast", "Sub", "Div", "Mul", "Add"}) != name:
            continue
        if node.op_type == "Conv":
            return "NCHW"
        if node.op_type == "Transpose":
            return "NHWC" if attribute(node, "perm", []) == [0, 3, 1, 2] else "NCHW"
    if first is last is False and None not in (shape[1], shape[3]):
        return "NCHW"  # which is refused: neither side is RGB
    raise UsageError(
        f"{path} does not tell where its channels are: give --layout nchw or --layout nhwc"
    )


def _scores(path: Path, model: onnx.ModelProto, name: str | None) -> onnx.ValueInfoProto:
    """The output with a score for each class."""
    outputs: dict[str, onnx.ValueInfoProto] = {each.name: each for each in model.graph.output}
    if name is not None:
        if name not in outputs:
            raise UsageError(f"{path} has no output {name}: it has {', '.join(outputs)}")
        return outputs[name]
    fitting = [each for each in outputs.values() if _is_scores(each)]
    for favourite in ("logits", "probabilities"):
        fitting = [each for each in fitting if each.name == favourite] or fitting
    if len(fitting) != 1:
        told = ", ".join(f"{each.name} {shape_of(each)}" for each in outputs.values())
        raise UsageError(
            f"{path} has the outputs {told}: give the one with a score for each class as "
            "--output NAME"
        )
    return fitting[0]


def _is_scores(output: onnx.ValueInfoProto) -> bool:
    shape = shape_of(output)
    is_float = output.type.tensor_type.elem_type in (TensorProto.FLOAT, TensorProto.FLOAT16)
    return is_float and len(shape) >= 2 and sum(side != 1 for side in shape[1:]) <= 1


def _classes(shape: list[int | None]) -> int | None:
    return None if None in shape[1:] else int(np.prod([side or 1 for side in shape[1:]]))


def _described(shape: list[int | None], kind: int) -> str:
    sides = ", ".join("any" if side is None else str(side) for side in shape)
    known = kind in TensorProto.DataType.values()
    name = TensorProto.DataType.Name(kind).lower() if known else f"the unknown type {kind}"
    return f"{name} [{sides}]"
