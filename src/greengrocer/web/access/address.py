"""The address that a limit counts for."""

from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from starlette.types import Scope

UNKNOWN = "unknown"  # what a proxy of ours calls no address at all
NETWORK = 64  # bits of an IPv6 address that are one household's or one machine's


def address_of(scope: Scope) -> str:
    """The client's address; of IPv6 its network, in which a client has all addresses."""
    client = scope.get("client")
    return _counted(client[0]) if client else UNKNOWN


@lru_cache(maxsize=4096)
def _counted(host: str) -> str:
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return UNKNOWN
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped:  # as IPv4 comes in on a socket of both
        return str(address.ipv4_mapped)
    return str(IPv6Network((address, NETWORK), strict=False))


def as_seen(proxies: tuple[str, ...]) -> list[str]:
    """``proxies``, addresses and networks, as they come on a socket of both IPv4 and IPv6, too."""
    networks = [ip_network(proxy) for proxy in proxies]
    mapped = [
        f"::ffff:{network.network_address}/{96 + network.prefixlen}"
        for network in networks
        if isinstance(network, IPv4Network)
    ]
    return [*map(str, networks), *mapped]
