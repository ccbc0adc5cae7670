"""Many HTTP processes over one engine process, which holds the only copy of the model."""
