"""The backbone in int8: static QDQ, one scale for each channel of weights, uint8 activations.

The head behind it stays float, or the evidence would no longer sum to the logit.

Weights have 7 bits where ONNX Runtime multiplies matrices: an x86 processor with AVX2 but without
VNNI adds two products of uint8 and int8 in 16 bits, which 8 bits overflow and 7 do not. Depthwise
convolutions add in 32 bits, so theirs have 8. The graph then answers alike on every processor.
"""

import copy
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path

from greengrocer.engines.onnx_runtime import ort  # first: it turns telemetry off

# isort: split

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantType,
    quantize_static,
)

from greengrocer.engines.engine import Floats
from greengrocer.graphs.nodes import PLANES
from greengrocer.imaging.geometry import Pixels

LARGEST = 64  # weight, in 7 bits as ONNX Runtime counts them
LARGEST_DEPTHWISE = 127
TINY = np.float32(1e-30)

Feed = dict[str, npt.NDArray[np.uint8]]


def quantise(
    backbone: onnx.ModelProto, pictures: Sequence[Pixels], in_float: Collection[str] = ()
) -> onnx.ModelProto:
    """The float ``backbone`` in int8, with the ranges that ``pictures`` uint8 [H, W, 3] show.

    The nodes whose names are ``in_float`` stay as they are.

    Input and output are the float one's. ``planes`` is taken as it is, scale 1/128 and zero point
    127, so that the first convolution reads the image's own bytes and pads with an exact zero.
    """
    rounded = [node for node in _convolutions(backbone) if node.name not in in_float]
    source = _with_corrected_biases(backbone, _input_means(backbone, pictures), rounded)
    # Says that shapes are known and batch norms fused, as they are; else it warns.
    helper.set_model_props(source, {"onnx.quant.pre_process": "onnxruntime.quant"})
    with tempfile.TemporaryDirectory() as directory:
        quantised = Path(directory) / "quantised.onnx"
        quantize_static(
            source,
            quantised,
            _Reader(pictures),
            op_types_to_quantize=["Conv", "Clip", "Relu", "MaxPool", "Add"],
            nodes_to_exclude=sorted(in_float),
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            # One odd image must not widen the ranges for all others.
            extra_options={
                "CalibMovingAverage": True,
                "TensorQuantOverrides": _eight_bits_for_depthwise(source, rounded),
            },
        )
        return onnx.load(quantised)


def _input_means(backbone: onnx.ModelProto, pictures: Sequence[Pixels]) -> dict[str, Floats]:
    """The mean of each channel that a convolution reads, by the tensor's name."""
    model = copy.deepcopy(backbone)
    names = sorted({node.input[0] for node in _convolutions(model)})
    del model.graph.output[:]
    for name in names:
        mean = helper.make_node("ReduceMean", [name], [f"{name}/mean"], axes=[0, 2, 3], keepdims=0)
        model.graph.node.append(mean)
        output = helper.make_tensor_value_info(f"{name}/mean", TensorProto.FLOAT, None)
        model.graph.output.append(output)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    runs = [session.run(None, _feed(picture)) for picture in pictures]
    return {name: np.mean(found, axis=0) for name, *found in zip(names, *runs, strict=True)}


def _with_corrected_biases(
    backbone: onnx.ModelProto, means: dict[str, Floats], rounded: Sequence[onnx.NodeProto]
) -> onnx.ModelProto:
    """A copy whose biases make up for what rounding weights will do to each channel's mean.

    Pooling averages noise away but not a shift, so this is what the logits feel most. The shift
    is (W - rounded W) E[x] (bias correction: Nagel et al., ICCV 2019, section 4.2).
    """
    model = copy.deepcopy(backbone)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in rounded:
        if len(node.input) < 3:
            continue  # without a bias, which only a traced graph may have
        source, weight_name, bias_name = node.input
        weight = numpy_helper.to_array(constants[weight_name])
        depthwise = weight_name in _depthwise_weights(model)
        largest = LARGEST_DEPTHWISE if depthwise else LARGEST
        scale = np.abs(weight).max(axis=(1, 2, 3), keepdims=True) / largest + TINY
        lost = (weight - np.round(weight / scale) * scale).sum(axis=(2, 3))
        groups = means[source].reshape(-1, lost.shape[1])  # [groups, channels of each]
        if len(groups) == 1:
            shift = lost @ means[source]
        else:
            shift = np.einsum("goc,gc->go", lost.reshape(len(groups), -1, lost.shape[1]), groups)
        bias = numpy_helper.to_array(constants[bias_name]) + shift.ravel().astype(np.float32)
        constants[bias_name].CopyFrom(numpy_helper.from_array(bias, bias_name))
    return model


def _convolutions(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    return [node for node in model.graph.node if node.op_type == "Conv"]


def _depthwise_weights(model: onnx.ModelProto) -> set[str]:
    """The names of the weights of convolutions with one channel a group."""
    single = {tensor.name for tensor in model.graph.initializer if list(tensor.dims)[1:2] == [1]}
    return single & {node.input[1] for node in _convolutions(model)}


def _eight_bits_for_depthwise(
    model: onnx.ModelProto, rounded: Sequence[onnx.NodeProto]
) -> dict[str, list[dict[str, object]]]:
    """What the quantiser must do otherwise, by the weights' name."""
    eight = {"quant_type": QuantType.QInt8, "axis": 0, "reduce_range": False}
    weights = _depthwise_weights(model) & {node.input[1] for node in rounded}
    return {name: [eight] for name in sorted(weights)}


def _feed(picture: Pixels) -> Feed:
    return {PLANES: picture.transpose(2, 0, 1)[None]}


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # ONNX Runtime has no types
    """Images one by one, as the quantiser asks for them."""

    def __init__(self, pictures: Sequence[Pixels]) -> None:
        self.pictures = iter(pictures)

    def get_next(self) -> Feed | None:
        picture = next(self.pictures, None)
        return None if picture is None else _feed(picture)
