"""From an image's bytes to the pixels that a model sees."""
