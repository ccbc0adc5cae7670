"""The Open Inference Protocol, version 2, over REST: a second API to the same pipeline."""
