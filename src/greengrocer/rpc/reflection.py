"""Server reflection: programs such as grpcurl ask for the services and their messages."""

from collections.abc import AsyncIterator
from typing import Any

from grpc_reflection.v1alpha._async import ReflectionServicer
from grpc_reflection.v1alpha.reflection import SERVICE_NAME
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from starlette.requests import Request
from starlette.responses import Response

from greengrocer.rpc.call import Call
from greengrocer.rpc.cut import parse
from greengrocer.web.endpoint import Endpoint
from greengrocer.web.service import Service

SERVICE = SERVICE_NAME
PATH = f"/{SERVICE}/ServerReflectionInfo"


async def allowed(service: Service, request: Request) -> Response:
    """Answered where the API key and the rate limits allow it: then ``reflect`` follows."""
    del service, request
    return Response()


async def reflect(servicer: ReflectionServicer, call: Call) -> AsyncIterator[bytes]:
    """An answer to each message of the client, until it sends no more."""

    async def asked() -> AsyncIterator[ServerReflectionRequest]:
        while (message := await call.next_message()) is not None:
            yield parse(ServerReflectionRequest, message)

    # the stubs have a coroutine, which it is not
    answers: Any = servicer.ServerReflectionInfo(asked(), None)
    async for answer in answers:
        yield answer.SerializeToString()


ALLOWED = Endpoint("POST", PATH, allowed, is_hot=True)
