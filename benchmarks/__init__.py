"""Benchmarks of the product as it ships: whole processes, interleaved, medians and ratios."""
