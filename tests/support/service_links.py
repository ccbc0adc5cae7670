"""The variables by which Kubernetes tells every pod of a Service."""

from collections.abc import Sequence


def service_links(
    service: str, address: str, ports: Sequence[tuple[str, int]], protocol: str = "TCP"
) -> dict[str, str]:
    """The variables that Kubernetes sets by default in each pod started after a Service.

    ``ports`` are names, which may be empty, and numbers.
    """
    prefix = service.upper().replace("-", "_")
    host = f"[{address}]" if ":" in address else address
    first = ports[0][1]
    links = {
        f"{prefix}_SERVICE_HOST": address,
        f"{prefix}_SERVICE_PORT": str(first),
        f"{prefix}_PORT": f"{protocol.lower()}://{host}:{first}",
    }
    for name, port in ports:
        if name:
            links[f"{prefix}_SERVICE_PORT_{name.upper().replace('-', '_')}"] = str(port)
        each = f"{prefix}_PORT_{port}_{protocol}"
        links |= {
            each: f"{protocol.lower()}://{host}:{port}",
            f"{each}_PROTO": protocol.lower(),
            f"{each}_PORT": str(port),
            f"{each}_ADDR": address,
        }
    return links
