"""Greengrocer beside other ways to serve the same network: `make bench-peers`."""
