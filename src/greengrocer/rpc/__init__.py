"""gRPC: the Open Inference Protocol, health and reflection, over the same service as HTTP."""

import os

# gRPC's core writes lines of its own to standard error, some of which a client can cause. It reads
# this when it is loaded.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
