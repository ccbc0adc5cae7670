"""A model that exists as an ONNX file becomes a bundle. Needs the extra ``import``."""
