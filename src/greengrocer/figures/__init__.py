"""Figures of merit, as pure functions of answers and truths: evaluation and training share them."""
