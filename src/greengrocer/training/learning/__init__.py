"""Fitting a network's weights to pictures."""
