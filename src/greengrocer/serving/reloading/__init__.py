"""Replace the model while the service runs: reload and roll back."""
