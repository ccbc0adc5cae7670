"""Which model serves, and how another takes its place."""
