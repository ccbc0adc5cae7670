"""A request's body: read as it comes, under limits."""
