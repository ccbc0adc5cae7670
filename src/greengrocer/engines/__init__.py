"""What runs a bundle's network: ONNX Runtime, PyTorch, or a fake for tests."""
