"""An imported body in int8: static QDQ, one scale a channel, as the trained ones have it.

Weights have 7 bits, but for depthwise ones: without VNNI an x86 processor adds two products in 16
bits, which 8 bits overflow.
"""

import logging
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from greengrocer.engines.onnx_runtime import ort  # first: it turns telemetry off

# isort: split

import numpy as np
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
from greengrocer.graphs.quantisation_ladder import block_of
from greengrocer.imaging.geometry import Pixels
from greengrocer.importing.fold import PIXELS, Body
from greengrocer.importing.graph import opset
from greengrocer.safe_text import kind_and_words_of

PER_CHANNEL = 13  # the first opset in which a scale may be one a channel
MOST_BLOCKS = 12  # that are compared: each is quantised alone
OPERATORS = ["Conv", "Clip", "Relu", "MaxPool", "Add", "AveragePool", "Concat"]

assert ort  # imported for what it does


class Quantiser:
    """Makes int8 of one body, whole or but for some of its nodes.

    Raises UsageError where it has no convolutions, or ONNX Runtime does not take it.
    """

    def __init__(self, body: Body) -> None:
        if not any(node.op_type == "Conv" for node in body.model.graph.node):
            raise UsageError("it has no convolutions, which are what int8 is for here")
        self._body = body
        with _refusals(), tempfile.TemporaryDirectory() as directory:
            source, ready = Path(directory, "source"), Path(directory, "ready")
            # As a file: it would move the weights out of a model in memory, for whoever has it.
            onnx.save(_recent(body.model), source)
            quant_pre_process(source, ready, skip_symbolic_shape=True)
            self._ready = onnx.load(ready)
        for index, node in enumerate(self._ready.graph.node):
            node.name = node.name or f"{node.op_type}{index}"

    def blocks(self) -> dict[str, list[str]]:
        """The names of the nodes that can be int8, by block, in the graph's order.

        There are at most MOST_BLOCKS, each of neighbours.
        """
        found: dict[str, list[str]] = {}
        for node in self._ready.graph.node:
            if node.op_type in OPERATORS:
                found.setdefault(block_of(node.name), []).append(node.name)
        blocks = list(found)
        together: dict[str, list[str]] = {}
        for part in np.array_split(np.arange(len(blocks)), min(MOST_BLOCKS, len(blocks))):
            names = [blocks[index] for index in part]
            label = names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"
            together[label] = [node for name in names for node in found[name]]
        return together

    def quantise(self, photos: Sequence[Pixels], in_float: Collection[str] = ()) -> Body:
        """The body in int8, with the ranges that ``photos`` uint8 [H, W, 3] show.

        The nodes whose names are ``in_float`` stay as they are.
        """
        with _refusals(), tempfile.TemporaryDirectory() as directory:
            ready, done = Path(directory, "ready"), Path(directory, "int8")
            onnx.save(self._ready, ready)
            quantize_static(
                ready,
                done,
                _Reader(photos),
                op_types_to_quantize=OPERATORS,
                nodes_to_exclude=sorted(in_float),
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
                # One odd photo must not widen the ranges for all others.
                extra_options={
                    "CalibMovingAverage": True,
                    "TensorQuantOverrides": _eight_bits_for_depthwise(self._ready, in_float),
                },
            )
            return Body(onnx.load(done), self._body.cut_shape, self._body.batch)


@contextmanager
def _refusals() -> Iterator[None]:
    """What ONNX Runtime's tools raise, as UsageError. What they log is not said."""
    root = logging.getLogger()
    root.addFilter(_nothing)
    try:
        yield
    except Exception as error:  # they raise whatever comes
        reason = kind_and_words_of(error, 200)
        raise UsageError(f"ONNX Runtime does not quantise it ({reason})") from error
    finally:
        root.removeFilter(_nothing)


def _nothing(record: logging.LogRecord) -> bool:  # noqa: ARG001 - all are dropped
    return False


def _recent(model: onnx.ModelProto) -> onnx.ModelProto:
    if opset(model) >= PER_CHANNEL:
        return model
    return version_converter.convert_version(model, 17)


def _eight_bits_for_depthwise(
    model: onnx.ModelProto, in_float: Collection[str]
) -> dict[str, list[dict[str, object]]]:
    """What the quantiser must do otherwise, by the name of the weights."""
    single = {each.name for each in model.graph.initializer if list(each.dims)[1:2] == [1]}
    convolved = {
        node.input[1]
        for node in model.graph.node
        if node.op_type == "Conv" and node.name not in in_float
    }
    eight = {"quant_type": QuantType.QInt8, "axis": 0, "reduce_range": False}
    return {name: [eight] for name in sorted(single & convolved)}


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # ONNX Runtime has no types
    """Photos one by one, as the quantiser asks for them."""

    def __init__(self, photos: Sequence[Pixels]) -> None:
        self.photos = iter(photos)

    def get_next(self) -> dict[str, Pixels] | None:
        photo = next(self.photos, None)
        return None if photo is None else {PIXELS: photo[None]}
