"""How much runs at once or waits for its client, so that none of it takes the places of others."""

from collections import Counter
from urllib.parse import unquote

from greengrocer.errors import Overloaded
from greengrocer.rpc.call_context import CallContext
from greengrocer.web.access.address import Client, address_of

RETRY_SECONDS = 1


class Places:
    """``most`` places in this process, and ``each`` of them for one address.

    A place is for a call, or for a byte of an answer. The address is that of the connection. A call
    has its places until the client has its answer. An address that has none gets as many as one
    call needs, if nobody else has any.
    """

    def __init__(self, what: str, most: int, each: int) -> None:
        self._what = what
        self._most = most
        self._each = each
        self._taken: Counter[str] = Counter()

    def take(self, context: CallContext, places: int = 1) -> None:
        """Give a call so many places until it is done; raises Overloaded where there are none."""
        address = address_of({"client": client_of(context)})
        taken, own = self._taken.total(), self._taken[address]
        if taken and taken + places > self._most:
            raise Overloaded(
                f"this process may have {self._most} {self._what}: call again later",
                RETRY_SECONDS,
            )
        if own and own + places > self._each:
            raise Overloaded(
                f"your address may have {self._each} {self._what}: end a call first",
                RETRY_SECONDS,
            )
        self._taken[address] += places
        context.add_done_callback(lambda _: self._leave(address, places))  # type: ignore[arg-type]

    def _leave(self, address: str, places: int) -> None:
        self._taken[address] -= places
        if not self._taken[address]:
            del self._taken[address]


def client_of(context: CallContext) -> Client:
    """The host and port of the other end, as gate.py names it: ``unix:/tmp/.../::1:4711``."""
    host, _, port = unquote(context.peer()).rpartition("/")[2].rpartition(":")
    return (host, int(port)) if port.isdecimal() else None
