"""Images for training: read, grouped by scene, split, varied, batched."""
