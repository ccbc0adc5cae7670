"""ONNX Runtime with its telemetry off. All other modules import ``ort`` from here.

On import ONNX Runtime writes an id of this machine into the home directory and sends it to its
makers, unless ORT_DISABLE_TELEMETRY is 1. A value that is already set is kept.
"""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime as ort

__all__ = ["ort", "reason_of"]


def reason_of(error: Exception) -> str:
    """What the runtime says of a graph that it does not load, in one line."""
    if "bad_alloc" in str(error):  # what some versions say of it
        return "there is not enough memory for it"
    return " ".join(str(error).split())[:300]
