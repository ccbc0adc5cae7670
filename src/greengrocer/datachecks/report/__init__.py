"""The checks' findings as one page with contact sheets that a person acts on."""
