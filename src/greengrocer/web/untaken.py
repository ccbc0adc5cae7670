"""An answer counts as bytes in flight until its client has read it."""

from starlette.requests import Request
from starlette.types import Scope

from greengrocer.web.service import Service


def hold(service: Service, request: Request, answer: bytes) -> bytes:
    """``answer``, counted until the client has read it; raises Overloaded where memory is short.

    The upload must have been released before: then an answer that is no larger has room.
    """
    receipt = request.scope["state"]["held"].enter_context(service.admission.receiving())
    receipt.hold(len(answer))
    return answer


async def taken(scope: Scope) -> None:
    """Wait until the client has read all that was sent, or has disconnected.

    Only our own server can say so; under another, return at once.
    """
    drain = scope["state"].get("drain")
    if drain is not None:
        await drain()
