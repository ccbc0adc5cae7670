"""An installation without the extra grpc: no process that begins here finds its libraries."""

import sys

for name in ("grpc", "grpc_health", "grpc_reflection"):
    sys.modules[name] = None  # type: ignore[assignment]
