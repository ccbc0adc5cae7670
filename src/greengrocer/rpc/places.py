"""How many calls of a kind run at once, so that no kind takes the places of the others."""

from collections import Counter
from urllib.parse import unquote

from greengrocer.errors import Overloaded
from greengrocer.rpc.context import Context
from greengrocer.web.access.address import Client, address_of

RETRY_SECONDS = 1


class Places:
    """``most`` calls at once in this process, and ``each`` of them from one address.

    The address is that of the connection. A call has its place until the client has its answer.
    """

    def __init__(self, what: str, most: int, each: int) -> None:
        self._what = what
        self._most = most
        self._each = each
        self._taken: Counter[str] = Counter()

    def take(self, context: Context) -> None:
        """Give a call a place until it is done; raises Overloaded where there is none."""
        address = address_of({"client": client_of(context)})
        if self._taken.total() >= self._most:
            raise Overloaded(
                f"this process has {self._most} {self._what} already: call again later",
                RETRY_SECONDS,
            )
        if self._taken[address] >= self._each:
            raise Overloaded(
                f"your address has {self._each} {self._what} already: end one first",
                RETRY_SECONDS,
            )
        self._taken[address] += 1
        context.add_done_callback(lambda _: self._leave(address))  # type: ignore[arg-type]

    def _leave(self, address: str) -> None:
        self._taken[address] -= 1
        if not self._taken[address]:
            del self._taken[address]


def client_of(context: Context) -> Client:
    """The host and port of the other end, of ``ipv4:127.0.0.1:4711`` or ``ipv6:%5B::1%5D:4711``."""
    host, _, port = unquote(context.peer().partition(":")[2]).rpartition(":")
    return (host.strip("[]"), int(port)) if port.isdecimal() else None
