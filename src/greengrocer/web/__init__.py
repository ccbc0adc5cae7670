"""HTTP: no other package knows of it."""
