"""The evaluation as one HTML page that a person wants to look at."""
