"""The built-in pictures: drawn by `tools/gallery`, each named for the class that it shows."""
