"""The trained architectures in PyTorch: for training, export and the torch engine alone."""
