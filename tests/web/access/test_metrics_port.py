"""Metrics on their own port only."""

import re
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from greengrocer.web.access.keys import add_key
from support.problems import problem_of
from support.servers import Server, StartServer, clean_environment
from support.wire import exchange, has_ipv6, head

URL = re.compile(r"metrics +.*(http://[\w.:\[\]]+)")


def metrics_url(server: Server) -> str:
    """Where its log says that its metrics are."""
    told = server.until_logged(
        lambda: [found[1] for line in server.log if (found := URL.search(line))]
    )
    return told[0]


def check(server: Server) -> None:
    """Metrics and probes there, everything but metrics here."""
    there, here = metrics_url(server), server.url
    text = httpx.get(f"{there}/metrics").text
    assert "greengrocer_requests_total" in text
    for path in ("/livez", "/readyz"):
        assert httpx.get(f"{there}{path}").status_code == 200
        assert httpx.get(f"{here}{path}").status_code == 200
    for missing in (f"{here}/metrics", f"{there}/predict", f"{there}/", f"{there}/class-names"):
        answer = httpx.get(missing)
        problem = problem_of(answer.status_code, answer.headers, answer.content)
        assert (problem.status, problem.code) == (404, "not-found"), missing


def test_metrics_are_served_on_their_port_only(serve: StartServer, fake_bundle: Path) -> None:
    server = serve("--bundle", str(fake_bundle), "--engine", "fake", "--metrics-port", "0")
    check(server)
    assert httpx.get(f"{server.url}/class-names").status_code == 200
    assert "/metrics" not in httpx.get(f"{server.url}/openapi.json").json()["paths"]
    port = httpx.URL(metrics_url(server)).port
    assert server.stop() == 0
    with socket.socket() as late:
        assert late.connect_ex(("127.0.0.1", port)) != 0


def test_no_spelling_of_the_path_finds_the_metrics_elsewhere(
    serve: StartServer, fake_bundle: Path
) -> None:
    server = serve("--bundle", str(fake_bundle), "--engine", "fake", "--metrics-port", "0")
    codes = [f"%{code:02x}" for code in range(256)]
    ends = [*codes, *(f"{code}%0a" for code in codes), "/", "//", ";", "/.", "/x/..", "%2500"]
    paths = ["/metrics" + end for end in ends]
    paths += ["/" + code + "metrics" for code in codes] + ["//metrics", "/./metrics", "/METRICS"]
    for path in [*paths, *(server.url + path for path in paths)]:
        assert exchange(server.url, head("GET", path)).status == 404, path
        assert exchange(metrics_url(server), head("GET", path)).status == 404, path
    query = exchange(server.url, head("GET", "/metrics?%0a"))
    assert query.status == 404


def test_the_metrics_port_needs_no_key(
    serve: StartServer, fake_bundle: Path, tmp_path: Path
) -> None:
    add_key(tmp_path / "keys", "till-1")
    limits = ("--api-keys", str(tmp_path / "keys"), "--rate-limit-per-address", "2/hour")
    server = serve("--bundle", str(fake_bundle), "--engine", "fake", "--metrics-port", "0", *limits)
    for _ in range(5):
        check(server)
    assert httpx.get(f"{server.url}/class-names").status_code == 401


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_the_metrics_port_may_have_its_own_address(serve: StartServer, fake_bundle: Path) -> None:
    own = ("--metrics-host", "::1", "--metrics-port", "0")
    server = serve("--bundle", str(fake_bundle), "--engine", "fake", *own)
    assert metrics_url(server).startswith("http://[::1]:")
    check(server)


@pytest.mark.accept
def test_with_workers_the_metrics_port_serves_the_sums(
    serve: StartServer, fake_bundle: Path
) -> None:
    flags = ("--metrics-port", "0", "--workers", "2")
    server = serve("--bundle", str(fake_bundle), "--engine", "fake", *flags)
    for _ in range(20):
        assert exchange(server.url, head("GET", "/class-names")).status == 200
    check(server)
    told = re.search(
        r'greengrocer_requests_total\{route="/class-names",status="200"\} (\d+)',
        httpx.get(f"{metrics_url(server)}/metrics").text,
    )
    assert told
    assert int(told[1]) == 20
    port = httpx.URL(metrics_url(server)).port
    assert server.stop() == 0
    with socket.socket() as late:
        assert late.connect_ex(("127.0.0.1", port)) != 0


def test_a_metrics_port_in_use_is_an_error_of_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-m", "greengrocer", "serve", "--port", "0", "--metrics-port", port],
            capture_output=True,
            text=True,
            env=clean_environment(),
            check=False,
            timeout=60,
        )
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f"greengrocer: cannot listen on 127.0.0.1:{port}: address already in use"
    ]
