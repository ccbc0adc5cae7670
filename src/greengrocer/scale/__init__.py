"""The service on several machines."""
