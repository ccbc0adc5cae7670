"""A black-box suite for any service that says it is Greengrocer: README.md says how to run it."""
