"""Draws the built-in pictures of groceries from code alone (needs Blender; see `README.md`)."""
