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
from onnx import TensorProto
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from greengrocer.errors import UsageError
from greengrocer.graphs import answers
from greengrocer.graphs.nodes import FEATURE_MAP, OPSET, PLANES, Nodes, value_info
from greengrocer.graphs.views import LinearHead, with_views
from greengrocer.imaging.geometry import Geometry
from greengrocer.imaging.views import Views
from greengrocer.networks.backbone import Backbone
from greengrocer.networks.efficientnet_lite import (
    Block,
    EfficientNetLite,
    SameConv,
    same_padding,
)
from greengrocer.networks.recogniser import AnswerHead
from greengrocer.safe_text import words_of

NORMALISED = "normalised"  # float32 [N, 3, H, W], what the backbone takes

Size = tuple[int, int]  # height, width


def backbone_graph(backbone: Backbone, geometry: Geometry) -> onnx.ModelProto:
    """The backbone alone, in float: ``planes`` uint8 [N, 3, H, W] to the feature map.

    Batch norms are fused into the convolutions, as is padding, which differs with H and W. Raises
    UsageError where PyTorch cannot export the backbone.
    """
    graph = Nodes()
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
        value_info(PLANES, TensorProto.UINT8, ["N", 3, geometry.height, geometry.width]),
        [value_info(FEATURE_MAP, TensorProto.FLOAT, ["N", backbone.channels, *size])],
    )


def seeing_graph(backbone: onnx.ModelProto, views: Views, head: nn.Linear) -> onnx.ModelProto:
    """``backbone`` behind ``views``, see ``graphs.views``; ``head`` is that of the network."""
    return with_views(backbone, views, LinearHead(_array(head.weight.T), _array(head.bias)))


def answer_graph(
    backbone: onnx.ModelProto, head: AnswerHead, geometry: Geometry
) -> onnx.ModelProto:
    """The whole graph: a backbone's with ``head`` behind it, see ``graphs.answers``."""
    coarse_of = None
    if isinstance(head.membership, torch.Tensor):
        coarse_of = head.membership.argmax(dim=1).tolist()
    temperature, places = head.temperature, None
    if head.views is not None and not head.views.single:
        places = head.views.places(_rows_of_a_view(backbone, head.views))
    return answers.answer_graph(
        backbone,
        answers.Head(
            weight=_array(head.weight * temperature),
            bias=_array(head.bias * temperature),
            centre=_array(head.centre),
            directions=_array(head.prototypes.T),
            temperature=temperature,
            coarse_of=coarse_of,
            places=places,
        ),
        geometry,
    )


def _rows_of_a_view(backbone: onnx.ModelProto, views: Views) -> int:
    """Raises UsageError where a square view's map is no square: where would its evidence lie?"""
    sides = backbone.graph.output[0].type.tensor_type.shape.dim
    rows, columns = sides[2].dim_value // len(views.sides), sides[3].dim_value
    if rows != columns:
        raise UsageError(
            f"the backbone makes a map of {rows} by {columns} positions of a square view: it can "
            "have one view only"
        )
    return int(rows)


def _traced(graph: Nodes, backbone: Backbone, geometry: Geometry) -> onnx.ModelProto:
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
        why = words_of(error).partition("\n")[0]
        raise UsageError(f"the backbone cannot be exported to ONNX: {why}") from error
    _unshare_constants(traced)
    graph.nodes += traced.node
    graph.constants += traced.initializer
    return graph.model(
        value_info(PLANES, TensorProto.UINT8, ["N", *example.shape[1:]]),
        [value_info(FEATURE_MAP, TensorProto.FLOAT, ["N", backbone.channels, *size])],
    )


def _unshare_constants(traced: onnx.GraphProto) -> None:
    """Give each layer constants of its own: of equal ones the exporter keeps one, and refers to it.

    The quantiser corrects the bias of one layer, and not of those that happened to have the same.
    """
    constants = {each.name: each for each in traced.initializer}
    shared = [n for n in traced.node if n.op_type == "Identity" and n.input[0] in constants]
    for node in shared:
        own = traced.initializer.add()
        own.CopyFrom(constants[node.input[0]])
        own.name = node.output[0]
        traced.node.remove(node)


def _add_block(graph: Nodes, block: Block, name: str, x: str, size: Size) -> tuple[str, Size]:
    entry = x
    if isinstance(block.expand, nn.Sequential):
        x, size = _add_conv(graph, block.expand, f"{name}/expand", x, size)
    x, size = _add_conv(graph, block.depthwise, f"{name}/depthwise", x, size)
    x, size = _add_conv(graph, block.project, f"{name}/project", x, size)
    if block.skip:
        x = graph.add("Add", [x, entry], f"{name}/sum")
    return x, size


def _add_conv(
    graph: Nodes, layers: nn.Sequential, name: str, x: str, size: Size
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


def _array(tensor: torch.Tensor) -> npt.NDArray[Any]:
    return tensor.detach().cpu().numpy()
