"""Greengrocer tells what grocery item a photo shows, over HTTP, in milliseconds, on plain CPUs."""

__version__ = "0.1.0"
