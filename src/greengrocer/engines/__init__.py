"""Engines run a bundle's network: ONNX Runtime, PyTorch, or one of another package."""
