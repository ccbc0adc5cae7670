"""ONNX Runtime with its telemetry off. All other modules import ``ort`` from here.

As it is imported, ONNX Runtime writes an id of this machine into the home directory and sends it to
its makers, unless this variable says no. A value that somebody has set stays.
"""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime as ort

__all__ = ["ort"]
