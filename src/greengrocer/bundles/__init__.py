"""A model as a self-describing directory: manifest, graph, goldens, perhaps float weights."""
