"""ONNX Runtime with its telemetry off. All other modules import ``ort`` from here.

On import ONNX Runtime writes an id of this machine into the home directory and sends it to its
makers, unless ORT_DISABLE_TELEMETRY is 1. A value that is already set is kept.
"""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime as ort

__all__ = ["ort"]
