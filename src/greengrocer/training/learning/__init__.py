"""Fitting a network's weights to images."""
