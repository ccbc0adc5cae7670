"""The page for people: `GET /`."""
