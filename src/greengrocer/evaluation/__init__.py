"""Scores a bundle on labelled images, through the serving pipeline."""
