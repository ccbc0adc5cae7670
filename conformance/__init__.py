"""A black-box suite for any service that says it is Greengrocer: README.md tells how to run it."""
