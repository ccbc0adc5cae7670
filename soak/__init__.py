"""The service under everything at once, for as long as asked, and a ledger of what became of it."""
