"""Train a bundle without torch: a closed-form head on features of the backbone that ships."""
