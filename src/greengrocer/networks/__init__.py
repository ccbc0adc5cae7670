"""The trained architectures in PyTorch: only for training, export and the torch engine."""
