"""The address from which a request came: the one that a limit counts for, and the log has."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from starlette.types import Scope

Client = tuple[str, int] | None  # host and port, as a scope has them
UNKNOWN = "unknown"  # what a proxy of ours calls no address at all
NETWORK = 64  # bits of an IPv6 address that are one household's or one machine's


def address_of(scope: Scope) -> str:
    """The client's address; of IPv6 its network, in which a client has all addresses."""
    client = scope.get("client")
    return _counted(client[0]) if client else UNKNOWN


def shown_address(client: Client) -> str:
    """The whole address of ``client``, a scope's: never a text that somebody else has written."""
    address = _read(client[0]) if client else None
    return UNKNOWN if address is None else str(address)


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
    # as IPv4 comes in on a socket of both
    return getattr(address, "ipv4_mapped", None) or address


def as_seen(proxies: tuple[str, ...]) -> list[str]:
    """``proxies``, addresses and networks, as they come on a socket of both IPv4 and IPv6, too."""
    networks = [ip_network(proxy) for proxy in proxies]
    mapped = [
        f"::ffff:{network.network_address}/{96 + network.prefixlen}"
        for network in networks
        if isinstance(network, IPv4Network)
    ]
    return [*map(str, networks), *mapped]
