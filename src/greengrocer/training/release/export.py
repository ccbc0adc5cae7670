"""A trained network as an ONNX graph: uint8 pixels in, calibrated answers out.

The graph of EfficientNet-Lite is written node by node rather than traced: the architecture is one
pattern repeated, so what stands in the file is what is meant, whatever version of PyTorch is at
hand. Any other backbone is traced by PyTorch's exporter.
"""

import math
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from greengrocer.errors import UsageError
from greengrocer.imaging.geometry import Geometry
from greengrocer.networks.backbone import Backbone
from greengrocer.networks.efficientnet_lite import (
    FEATURES,
    Block,
    EfficientNetLite,
    SameConv,
    same_padding,
)
from greengrocer.networks.recogniser import AnswerHead

# Old enough for every current server of ONNX graphs.
OPSET = 17
IR_VERSION = 8

PIXELS = "pixels"  # uint8 [N, H, W, 3], what the graph takes
PLANES = "planes"  # the same, uint8 [N, 3, H, W]
NORMALISED = "normalised"  # float32 [N, 3, H, W], what the backbone takes
FEATURE_MAP = "head/relu6"  # float32 [N, channels, h, w], what it returns

Shape = list[int | str]
Size = tuple[int, int]  # height, width


def backbone_graph(backbone: Backbone, geometry: Geometry) -> onnx.ModelProto:
    """The backbone alone, in float: ``planes`` uint8 [N, 3, H, W] to the feature map.

    Batch norms are fused into the convolutions, as is padding, which differs with H and W. Raises
    UsageError where PyTorch cannot export the backbone.
    """
    graph = _Nodes()
    scale = graph.constant("pixel_scale", np.array(backbone.scale, np.float32))
    zero = graph.constant("pixel_zero", np.array(backbone.mean, np.uint8))
    x = graph.add("DequantizeLinear", [PLANES, scale, zero], NORMALISED)
    if not isinstance(backbone, EfficientNetLite):
        return _traced(graph, backbone, geometry)
    graph.constant("relu6_min", np.array(0, np.float32))
    graph.constant("relu6_max", np.array(6, np.float32))
    size = (geometry.height, geometry.width)
    x, size = _add_conv(graph, backbone.stem, "stem", x, size)
    for index, block in enumerate(backbone.blocks):
        assert isinstance(block, Block)
        x, size = _add_block(graph, block, f"block{index}", x, size)
    _, size = _add_conv(graph, backbone.head, "head", x, size)
    return graph.model(
        _value(PLANES, TensorProto.UINT8, ["N", 3, geometry.height, geometry.width]),
        [_value(FEATURE_MAP, TensorProto.FLOAT, ["N", FEATURES, *size])],
    )


def answer_graph(
    backbone: onnx.ModelProto, head: AnswerHead, geometry: Geometry
) -> onnx.ModelProto:
    """The whole graph: a backbone's, float or int8, with ``head`` behind it.

    ``pixels`` uint8 [N, H, W, 3] (N may vary) to the float32 outputs ``probabilities``
    [N, classes], ``coarse`` [N, coarse classes] (absent without a hierarchy), ``known_score`` [N]
    and ``evidence`` [N, h, w, classes], which the engine protocol describes.
    """
    graph = _Nodes()
    graph.add("Transpose", [PIXELS], PLANES, perm=[0, 3, 1, 2])
    graph.nodes += backbone.graph.node
    graph.constants += backbone.graph.initializer
    weight = graph.constant("answer_weight", _array(head.weight))
    bias = graph.constant("answer_bias", _array(head.bias))
    by_place = graph.add("Transpose", [FEATURE_MAP], "features_by_place", perm=[0, 2, 3, 1])
    unbiased = graph.add("MatMul", [by_place, weight], "evidence_unbiased")
    graph.add("Add", [unbiased, bias], "evidence")
    graph.add("ReduceMean", ["evidence"], "logits", axes=[1, 2], keepdims=0)
    graph.add("Softmax", ["logits"], "probabilities", axis=1)
    _add_known_score(graph, head)
    classes = len(head.bias)
    outputs = [_value("probabilities", TensorProto.FLOAT, ["N", classes])]
    if isinstance(head.membership, torch.Tensor):
        membership = graph.constant("coarse_membership", _array(head.membership))
        graph.add("MatMul", ["probabilities", membership], "coarse")
        outputs.append(_value("coarse", TensorProto.FLOAT, ["N", head.membership.shape[1]]))
    h, w = (side.dim_value for side in backbone.graph.output[0].type.tensor_type.shape.dim[2:])
    outputs.append(_value("known_score", TensorProto.FLOAT, ["N"]))
    outputs.append(_value("evidence", TensorProto.FLOAT, ["N", h, w, classes]))
    shape: Shape = ["N", geometry.height, geometry.width, 3]
    return graph.model(_value(PIXELS, TensorProto.UINT8, shape), outputs)


def _traced(graph: "_Nodes", backbone: Backbone, geometry: Geometry) -> onnx.ModelProto:
    """The model of ``graph``, which normalises pixels, with the traced ``backbone`` behind it."""
    example = torch.zeros(1, 3, geometry.height, geometry.width)
    try:
        with (
            tempfile.TemporaryDirectory() as directory,
            torch.no_grad(),
            warnings.catch_warnings(),
        ):
            # It warns that there is a newer exporter, which would need one more package.
            warnings.simplefilter("ignore")
            size = backbone.eval()(example).shape[2:]
            torch.onnx.export(
                backbone,
                (example,),
                Path(directory, "backbone.onnx"),
                input_names=[NORMALISED],
                output_names=[FEATURE_MAP],
                dynamic_axes={NORMALISED: {0: "N"}, FEATURE_MAP: {0: "N"}},
                opset_version=OPSET,
                dynamo=False,
            )
            traced = onnx.load(Path(directory, "backbone.onnx")).graph
    except Exception as error:  # whatever a module of another package raises
        why = str(error).partition("\n")[0] or type(error).__name__
        raise UsageError(f"the backbone cannot be exported to ONNX: {why}") from error
    graph.nodes += traced.node
    graph.constants += traced.initializer
    return graph.model(
        _value(PLANES, TensorProto.UINT8, ["N", *example.shape[1:]]),
        [_value(FEATURE_MAP, TensorProto.FLOAT, ["N", backbone.channels, *size])],
    )


def _add_known_score(graph: "_Nodes", head: AnswerHead) -> None:
    """``known_score`` [N] from the feature map and the calibrated logits."""
    pooled = graph.add("ReduceMean", [FEATURE_MAP], "pooled", axes=[2, 3], keepdims=0)
    centre = graph.constant("prototype_centre", _array(head.centre))
    offset = graph.add("Sub", [pooled, centre], "prototype_offset")
    length = graph.add("ReduceL2", [offset], "prototype_length", axes=[1], keepdims=1)
    least = graph.constant("prototype_least_length", np.array(1e-12, np.float32))
    length = graph.add("Max", [length, least], "prototype_divisor")
    direction = graph.add("Div", [offset, length], "prototype_direction")
    # By far the largest constant: in float16, as the weights have it, it takes half the room.
    halves = graph.constant("prototypes_float16", _array(head.prototypes.half()))
    prototypes = graph.add("Cast", [halves], "prototypes", to=TensorProto.FLOAT)
    cosines = graph.add("MatMul", [direction, prototypes], "prototype_cosines")
    nearest = graph.add("ReduceMax", [cosines], "prototype_nearest", axes=[1], keepdims=0)
    zero = graph.constant("score_min", np.array(0, np.float32))
    one = graph.constant("score_max", np.array(1, np.float32))
    nearest = graph.add("Clip", [nearest, zero, one], "prototype_share")
    temperature = graph.constant("temperature", np.array(head.temperature, np.float32))
    raw = graph.add("Mul", ["logits", temperature], "logits_uncalibrated")
    softmax = graph.add("Softmax", [raw], "probabilities_uncalibrated", axis=1)
    decided = graph.add("ReduceMax", [softmax], "decided", axes=[1], keepdims=0)
    root = graph.add("Sqrt", [decided], "decided_root")
    graph.add("Mul", [nearest, root], "known_score")


class _Nodes:
    """A graph in the making. A node's only output bears the node's name."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, operator: str, inputs: list[str], name: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [name], name, **attributes))
        return name

    def constant(self, name: str, value: npt.NDArray[np.generic]) -> str:
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def model(
        self, source: onnx.ValueInfoProto, outputs: list[onnx.ValueInfoProto]
    ) -> onnx.ModelProto:
        graph = helper.make_graph(self.nodes, "greengrocer", [source], outputs, self.constants)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
        )
        onnx.checker.check_model(model, full_check=True)
        return model


def _add_block(graph: _Nodes, block: Block, name: str, x: str, size: Size) -> tuple[str, Size]:
    entry = x
    if isinstance(block.expand, nn.Sequential):
        x, size = _add_conv(graph, block.expand, f"{name}/expand", x, size)
    x, size = _add_conv(graph, block.depthwise, f"{name}/depthwise", x, size)
    x, size = _add_conv(graph, block.project, f"{name}/project", x, size)
    if block.skip:
        x = graph.add("Add", [x, entry], f"{name}/sum")
    return x, size


def _add_conv(
    graph: _Nodes, layers: nn.Sequential, name: str, x: str, size: Size
) -> tuple[str, Size]:
    """A convolution with its batch norm fused and, where there is one, its ReLU6."""
    conv, norm = layers[0], layers[1]
    assert isinstance(conv, SameConv)
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    statistics = norm.running_mean, norm.running_var, norm.eps
    weight, bias = fuse_conv_bn_weights(conv.weight, conv.bias, *statistics, norm.weight, norm.bias)
    kernel, stride = conv.kernel_size[0], conv.stride[0]
    (top, bottom), (left, right) = (same_padding(side, kernel, stride) for side in size)
    inputs = [
        x,
        graph.constant(f"{name}/weight", _array(weight)),
        graph.constant(f"{name}/bias", _array(bias)),
    ]
    x = graph.add(
        "Conv",
        inputs,
        name,
        kernel_shape=[kernel, kernel],
        strides=[stride, stride],
        pads=[top, left, bottom, right],
        group=conv.groups,
    )
    if len(layers) == 3:
        x = graph.add("Clip", [x, "relu6_min", "relu6_max"], f"{name}/relu6")
    return x, (math.ceil(size[0] / stride), math.ceil(size[1] / stride))


def _array(tensor: torch.Tensor) -> npt.NDArray[np.generic]:
    return tensor.detach().cpu().numpy()


def _value(name: str, kind: int, shape: Shape) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)
