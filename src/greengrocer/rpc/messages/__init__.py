"""The messages of the Open Inference Protocol, generated from ``open_inference.proto``."""
