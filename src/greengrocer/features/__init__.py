"""Features of any images, by a general backbone that ships; ONNX Runtime, no torch."""
