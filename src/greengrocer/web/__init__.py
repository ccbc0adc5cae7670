"""The HTTP interface: only this package depends on the web framework."""
