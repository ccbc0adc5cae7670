"""A black-box suite for any service that says it is Greengrocer; see README.md."""
