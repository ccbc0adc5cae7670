"""Benchmarks, one question each."""
