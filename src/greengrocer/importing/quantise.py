"""An imported body in int8: static QDQ, one scale a channel, as the trained ones have it.

Weights have 7 bits, but for depthwise ones: without VNNI an x86 processor adds two products in 16
bits, which 8 bits overflow.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from greengrocer.engines.onnx_runtime import ort  # first: it turns telemetry off

# isort: split

import onnx
from onnx import version_converter
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from greengrocer.errors import UsageError
from greengrocer.imaging.geometry import Pixels
from greengrocer.importing.fold import PIXELS, Body
from greengrocer.importing.graph import opset

PER_CHANNEL = 13  # the first opset in which a scale may be one a channel
OPERATORS = ["Conv", "Clip", "Relu", "MaxPool", "Add", "AveragePool", "Concat"]

assert ort  # imported for what it does


def quantise(body: Body, photos: Sequence[Pixels]) -> Body:
    """``body`` in int8, with the ranges that ``photos`` uint8 [H, W, 3] show.

    Raises UsageError where it has no convolutions, or ONNX Runtime does not quantise it.
    """
    if not any(node.op_type == "Conv" for node in body.model.graph.node):
        raise UsageError("it has no convolutions, which are what int8 is for here")
    try:
        with tempfile.TemporaryDirectory() as directory:
            source, ready, done = (Path(directory, name) for name in ("source", "ready", "int8"))
            # As a file: it would move the weights out of a model in memory, for whoever has it.
            onnx.save(_recent(body.model), source)
            quant_pre_process(source, ready, skip_symbolic_shape=True)
            quantize_static(
                ready,
                done,
                _Reader(photos),
                op_types_to_quantize=OPERATORS,
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
                # One odd photo must not widen the ranges for all others.
                extra_options={
                    "CalibMovingAverage": True,
                    "TensorQuantOverrides": _eight_bits_for_depthwise(onnx.load(ready)),
                },
            )
            return Body(onnx.load(done), body.cut_shape, body.batch)
    except Exception as error:  # its tools raise whatever comes
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise UsageError(f"ONNX Runtime does not quantise it ({reason})") from error


def _recent(model: onnx.ModelProto) -> onnx.ModelProto:
    if opset(model) >= PER_CHANNEL:
        return model
    return version_converter.convert_version(model, 17)


def _eight_bits_for_depthwise(model: onnx.ModelProto) -> dict[str, list[dict[str, object]]]:
    """What the quantiser must do otherwise, by the name of the weights."""
    single = {each.name for each in model.graph.initializer if list(each.dims)[1:2] == [1]}
    convolved = {node.input[1] for node in model.graph.node if node.op_type == "Conv"}
    eight = {"quant_type": QuantType.QInt8, "axis": 0, "reduce_range": False}
    return {name: [eight] for name in sorted(single & convolved)}


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # ONNX Runtime has no types
    """Photos one by one, as the quantiser asks for them."""

    def __init__(self, photos: Sequence[Pixels]) -> None:
        self.photos = iter(photos)

    def get_next(self) -> dict[str, Pixels] | None:
        photo = next(self.photos, None)
        return None if photo is None else {PIXELS: photo[None]}
