"""What an answer holds until its client has taken it: a share of the bytes in flight."""

from starlette.requests import Request
from starlette.types import Scope

from greengrocer.web.service import Service


def hold(service: Service, request: Request, answer: bytes) -> bytes:
    """``answer``, counted until it is taken; raises Overloaded where there is no room for it.

    The upload must have been given back: so an answer that is no larger has room.
    """
    receipt = request.scope["state"]["held"].enter_context(service.admission.reserve_bytes())
    receipt.hold(len(answer))
    return answer


async def taken(scope: Scope) -> None:
    """Wait until the client has taken all that was sent, or has gone.

    Only our own server tells; with another, what it keeps is its own affair.
    """
    drain = scope["state"].get("drain")
    if drain is not None:
        await drain()
