"""Labelled images on disk: what is where, and how the public data set gets there."""
