"""Greengrocer tells what grocery item a photo shows, over HTTP, in milliseconds, on plain CPUs."""

import os

__version__ = "0.1.0"

# ONNX Runtime would keep an id of this machine in the home directory, and send it to its makers.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
