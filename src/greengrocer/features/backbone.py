"""The backbone that ships: ImageNet's EfficientNet-Lite0 in int8, pixels to a feature map."""

import hashlib
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from greengrocer.engines.engine import Floats
from greengrocer.engines.onnx_runtime import ort
from greengrocer.imaging.geometry import Geometry, Pixels

GEOMETRY = Geometry(width=224, height=224)
CHANNELS = 1280
NAME = "efficientnet-lite0"  # the architecture, as bundles and recipes name it
ORIGIN = (
    "These weights are derived from ones that Google trained on ImageNet, which are under the "
    "Apache License, Version 2.0."
)

Embed = Callable[[Pixels], Floats]


def backbone_bytes() -> bytes:
    """The ONNX file: ``pixels`` uint8 [N, 224, 224, 3] to ``head/relu6`` [N, 1280, 7, 7]."""
    return (files("greengrocer") / "bundled" / "backbone" / "backbone.onnx").read_bytes()


@cache
def backbone_digest() -> str:
    """The SHA-256 of the ONNX file, in hexadecimal."""
    return hashlib.sha256(backbone_bytes()).hexdigest()


def make_embedder(graph: bytes) -> Embed:
    """What makes of pixels uint8 [N, H, W, 3] the mean features float32 [N, channels].

    ``graph`` is a backbone's ONNX file with the feature map as its only output. The function may
    be called from several threads; each call runs on the calling one.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session: Any = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    (source,), (target,) = session.get_inputs(), session.get_outputs()

    def embed(pixels: Pixels) -> Floats:
        (found,) = session.run([target.name], {source.name: pixels})
        return np.asarray(found.mean(axis=(2, 3)), np.float32)

    return embed
