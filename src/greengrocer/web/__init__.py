"""The HTTP interface. Only `rpc/`, `scale/` and the top of the product know of it."""
