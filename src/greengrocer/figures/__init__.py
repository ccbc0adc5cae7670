"""Metrics as pure functions of answers and true classes; evaluation and training share them."""
