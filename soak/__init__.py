"""A long run of the service under mixed load, with a ledger of every request's outcome."""
