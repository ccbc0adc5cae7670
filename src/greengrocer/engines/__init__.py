"""What runs a bundle's network: ONNX Runtime, PyTorch, or what another package adds."""
