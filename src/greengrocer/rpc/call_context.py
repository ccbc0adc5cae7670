"""What gRPC knows of a call, with its messages as bytes."""

from typing import TypeAlias

from grpc.aio import ServicerContext

CallContext: TypeAlias = "ServicerContext[bytes, bytes]"
