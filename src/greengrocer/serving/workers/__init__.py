"""Many HTTP processes over one engine process, which alone holds the model."""
