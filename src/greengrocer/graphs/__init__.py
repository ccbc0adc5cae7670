"""ONNX graphs that are written node by node; no torch."""
