"""The address that a request came from, for rate limits and the access log."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from starlette.types import Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

Client = tuple[str, int] | None  # host and port, as a scope has them
UNKNOWN = "unknown"  # where a trusted proxy sends no valid address
HEADER = b"x-forwarded-for"
NETWORK = 64  # bits of an IPv6 address that are one household's or one machine's


def address_of(scope: Scope) -> str:
    """The client's address; for IPv6 its /64 network, all of which one client may use."""
    client = scope.get("client")
    return _counted(client[0]) if client else UNKNOWN


def shown_address(client: Client) -> str:
    """The whole address of ``client``, or "unknown" where it is not an IP address."""
    address = _read(client[0]) if client else None
    return UNKNOWN if address is None else str(address)


class Networks:
    """Addresses and networks, as ``10.0.0.0/8``: those of proxies that are trusted."""

    def __init__(self, networks: tuple[str, ...]) -> None:
        self._networks = tuple(map(ip_network, networks))

    def __contains__(self, client: Client) -> bool:
        """Whether ``client`` has one of the addresses."""
        address = _read(client[0]) if client else None
        return address is not None and any(address in network for network in self._networks)


class ForwardedFor(ProxyHeadersMiddleware):
    """Pure ASGI middleware: the client is whom a trusted proxy names.

    uvicorn's own would leave the proxy as the client where it names nobody, as with an empty
    element of the header. Then the client is unknown: what is before it the client may have sent.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # type: ignore[override]
        """Handle one request."""
        client = scope.get("client")
        said = [value for name, value in scope.get("headers", ()) if name == HEADER]
        if said and client and client[0] in self.trusted_hosts:
            hops = b",".join(said).decode("latin-1")
            host, port = self.trusted_hosts.get_trusted_client_address(hops)
            scope["client"] = host or UNKNOWN, port
        await self.app(scope, receive, send)  # type: ignore[arg-type]


@lru_cache(maxsize=4096)
def _counted(host: str) -> str:
    address = _read(host)
    if isinstance(address, IPv6Address):
        return str(IPv6Network((address, NETWORK), strict=False))
    return UNKNOWN if address is None else str(address)


def _read(host: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    # as a dual-stack socket reports IPv4
    return getattr(address, "ipv4_mapped", None) or address


def as_seen(proxies: tuple[str, ...]) -> list[str]:
    """``proxies``, addresses and networks, and IPv4 ones also as a dual-stack socket has them."""
    networks = [ip_network(proxy) for proxy in proxies]
    mapped = [
        f"::ffff:{network.network_address}/{96 + network.prefixlen}"
        for network in networks
        if isinstance(network, IPv4Network)
    ]
    return [*map(str, networks), *mapped]
