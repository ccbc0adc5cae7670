"""`--workers`: several HTTP processes share one engine process, which holds the model."""
