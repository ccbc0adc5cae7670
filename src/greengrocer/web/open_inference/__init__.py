"""The Open Inference Protocol, version 2, over REST: another door to the same spine."""
