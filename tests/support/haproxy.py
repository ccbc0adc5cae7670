"""A real HAProxy in front of servers."""

import csv
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from support.waiting import until

# What fails is not tried again, neither there nor elsewhere: clients would see it.
CONFIGURATION = """\
defaults
    mode http
    retries 0
    timeout connect 60s
    timeout client 60s
    timeout server 60s
    timeout check 60s
    default-server check inter 100ms fall 1 rise 1

listen shop
    bind fd@{listener}
    stats enable
    stats uri /balancer
    option httpchk GET /readyz
"""


@dataclass
class Balancer:
    """A running HAProxy."""

    url: str

    def up(self) -> list[str]:
        """The servers that it sends requests to, by their ports, and BACKEND for all of them."""
        table = httpx.get(f"{self.url}/balancer;csv", timeout=60).text
        rows = csv.DictReader(table.removeprefix("# ").splitlines())
        return [row["svname"] for row in rows if row["status"] == "UP"]

    def until_up(self, ports: Sequence[int]) -> None:
        """Wait until it sends requests to the servers on all these ports."""
        until(lambda: set(self.up()) == {*map(str, ports), "BACKEND"})


@contextmanager
def haproxy(directory: Path, ports: Sequence[int], *options: str) -> Iterator[Balancer]:
    """HAProxy before the servers on ``ports``, which it asks for their readiness."""
    if shutil.which("haproxy") is None and "REQUIRE_DEBIAN_PROGRAMS" not in os.environ:
        pytest.skip("needs haproxy, from Debian's package of that name")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        servers = "".join(f"    server {port} 127.0.0.1:{port}\n" for port in ports)
        servers += "".join(f"    {option}\n" for option in options)
        configuration = directory / "haproxy.cfg"
        configuration.write_text(CONFIGURATION.format(listener=listener.fileno()) + servers)
        balancer = Balancer(f"http://127.0.0.1:{listener.getsockname()[1]}")
        process = subprocess.Popen(
            ["haproxy", "-db", "-q", "-f", str(configuration)], pass_fds=[listener.fileno()]
        )
    try:
        balancer.until_up(ports)
        yield balancer
    finally:
        process.kill()
        process.wait()
