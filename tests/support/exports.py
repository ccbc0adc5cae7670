"""Classifiers of drawn photos, exported to ONNX as other people's frameworks write them.

They are tiny: 32 pixels, 3 classes (red, green and blue photos), and a head that was fitted, so
that their answers are right.
"""

import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from torch import nn

from support.make_images import encoded, photo

CLASSES = ("blue", "green", "red")
TINTS = {"blue": (0.25, 0.35, 1.0), "green": (0.35, 1.0, 0.3), "red": (1.0, 0.3, 0.35)}
SIDE = 32


def tinted(name: str, seed: int, size: tuple[int, int] = (53, 44)) -> Image.Image:
    """A photo of the class ``name``."""
    pixels = np.asarray(photo(seed, size)) * np.array(TINTS[name])
    return Image.fromarray(pixels.astype(np.uint8))


def write_tinted(directory: Path, count: int, size: tuple[int, int] = (53, 44)) -> Path:
    """A folder a class, with ``count`` JPEGs in each."""
    for number, name in enumerate(CLASSES):
        (directory / name).mkdir(parents=True)
        for seed in range(count):
            jpeg = encoded(tinted(name, 1000 * number + seed, size), "JPEG", quality=92)
            (directory / name / f"{name}-{seed}.jpg").write_bytes(jpeg)
    return directory


class Residual(nn.Module):
    """As torchvision's ResNet: batch norms, a shortcut, an adaptive mean, a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)
        )
        self.body = nn.Sequential(
            nn.Conv2d(8, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU()
        )
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc: nn.Module = nn.Linear(8, len(CLASSES))

    def features(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        return torch.flatten(self.avgpool(x + self.body(x)), 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.fc(self.features(x))
        return logits


class Mobile(Residual):
    """As timm's and torchvision's mobile networks: depthwise convolutions, hard swish, dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.Hardswish()
        )
        self.body = nn.Sequential(
            nn.Conv2d(8, 8, 3, 1, 1, groups=8, bias=False), nn.BatchNorm2d(8), nn.ReLU6()
        )
        self.fc = nn.Sequential(nn.Dropout(0.2), nn.Linear(8, len(CLASSES)))


class Attention(Residual):
    """As a vision transformer: patches, a class token, attention; no mean over places."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 8, 8)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm = nn.LayerNorm(8)
        self.fc = nn.Linear(8, len(CLASSES))

    def features(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1)
        x = x + self.attention(x, x, x, need_weights=False)[0]
        first: torch.Tensor = self.norm(x)[:, 0]
        return first


class Squeezed(Residual):
    """As SqueezeNet: a convolution gives each class its own map, whose mean is the logit."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Conv2d(8, len(CLASSES), 1)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        return torch.flatten(self.avgpool(x + self.body(x)), 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        return torch.flatten(self.avgpool(self.fc(x + self.body(x))), 1)


def taught(kind: type[Residual], mean: float = 0.45, std: float = 0.225) -> Residual:
    """A ``kind`` of network: random features, normed on drawn photos, and a head fitted to them."""
    torch.manual_seed(0)
    network = kind()
    photos = [
        (label, tinted(name, 90_000 + seed, (SIDE, SIDE)))
        for label, name in enumerate(CLASSES)
        for seed in range(30)
    ]
    pixels = torch.from_numpy(np.stack([np.asarray(each) for _, each in photos]))
    x = (pixels.permute(0, 3, 1, 2).float() / 255 - mean) / std
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0
        network.train()
        network.features(x)
        network.eval()
        features = network.features(x)
        targets = 6.0 * torch.eye(len(CLASSES))[[label for label, _ in photos]]
        ones = torch.cat([features, torch.ones(len(features), 1)], dim=1)
        fitted = torch.linalg.lstsq(ones, targets).solution
        layer = network.fc[-1] if isinstance(network.fc, nn.Sequential) else network.fc
        assert isinstance(layer, nn.Linear | nn.Conv2d)
        assert layer.bias is not None
        layer.weight.copy_(fitted[:-1].T.reshape(layer.weight.shape))
        layer.bias.copy_(fitted[-1])
    return network


def export(network: nn.Module, path: Path, opset: int = 17, batch: int | None = None) -> Path:
    """``network`` as ``torch.onnx.export`` writes it; ``batch`` None: any number of images."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # there is a newer exporter, which needs one more package
        torch.onnx.export(
            network.eval(),
            (torch.zeros(batch or 1, 3, SIDE, SIDE),),
            path,
            input_names=["input"],
            output_names=["output"],
            dynamic_axes=None if batch else {"input": {0: "batch"}, "output": {0: "batch"}},
            opset_version=opset,
            dynamo=False,
        )
    return path


def add_metadata(path: Path, **metadata: str) -> Path:
    """Write properties into the model, as ``yolo export`` does."""
    model = onnx.load(path)
    helper.set_model_props(model, metadata)
    onnx.save(model, path)
    return path


def keras_graph(
    path: Path, opset: int = 15, *, mean_in_graph: bool = False, output: str = "predictions"
) -> Path:
    """As tf2onnx writes a Keras model: channels last, a transpose, a mean, MatMul, Softmax.

    The head is fitted to the mean of each colour, so that it needs no training.
    """
    random = np.random.default_rng(3)
    kernel = random.normal(0, 0.2, (8, 3, 3, 3)).astype(np.float32)
    kernel[:3] = 0
    for channel in range(3):  # the colours themselves go through
        kernel[channel, channel, 1, 1] = 1
    head = np.zeros((8, 3), np.float32)
    head[:3] = 8 * np.eye(3, dtype=np.float32)[::-1]  # blue, green, red
    constants = {
        "kernel": kernel,
        "kernel_bias": np.full(8, 1.0, np.float32),
        "head": head,
        "head_bias": np.array([0.1, 0.0, -0.1], np.float32),
        "scale": np.array(1 / 127.5, np.float32),
        "one": np.array(1, np.float32),
    }
    source = "images"
    nodes = []
    if mean_in_graph:
        nodes += [
            helper.make_node("Mul", ["images", "scale"], ["scaled"]),
            helper.make_node("Sub", ["scaled", "one"], ["normed"]),
        ]
        source = "normed"
    nodes += [
        helper.make_node("Transpose", [source], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node(
            "Conv", ["planes", "kernel", "kernel_bias"], ["conv"], strides=[2, 2], pads=[0, 0, 1, 1]
        ),
        helper.make_node("Relu", ["conv"], ["relu"]),
        helper.make_node("ReduceMean", ["relu"], ["pooled"], keepdims=0, axes=[2, 3]),
        helper.make_node("MatMul", ["pooled", "head"], ["product"]),
        helper.make_node("Add", ["product", "head_bias"], ["dense"]),
        helper.make_node("Softmax", ["dense"], [output], axis=-1),
    ]
    used = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes,
        "keras",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["b", SIDE, SIDE, 3])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["b", 3])],
        [numpy_helper.from_array(v, k) for k, v in constants.items() if k in used],
    )
    model = helper.make_model(
        graph,
        producer_name="tf2onnx",
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=8,
    )
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    return path
