"""A real Ray cluster on this machine: each node has its own loopback address."""

import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import yaml

from support.documents import ROOT
from support.processes import alive, listening, tree
from support.servers import clean_environment
from support.waiting import until

PROGRAMS = ROOT / ".venv-ray" / "bin"
CONFIG = ROOT / "deploy" / "ray" / "serve-config.yaml"
START_SECONDS = 180.0  # generous: only a hang takes as long
ORIGIN = "https://shop.example"  # a setting of ours in the environment, which answers tell
STORE = 80_000_000  # bytes, the least that Ray takes: nothing of ours is in it
ENVIRONMENT = {
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_USAGE_STATS_REPORT_URL": "http://127.0.0.1:9",  # it would report that there are none
    "RAY_memory_monitor_refresh_ms": "0",
    "RAY_SERVE_HAPROXY_STARTUP_TIMEOUT_S": "120",  # a reload waits as long, and is tried thrice
    "RAY_worker_niceness": "0",  # at Ray's 15, whatever else runs here would starve replicas
    "GREENGROCER_CORS_ORIGINS": ORIGIN,
    # so that replicas come and go while a test waits
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "5",
    "RAY_SERVE_HANDLE_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "0.5",
    "RAY_SERVE_REPLICA_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "0.5",
}


def build() -> None:
    """Install Ray into an environment of its own, if need be."""
    made = ["make", "--quiet", str((PROGRAMS.parent / "installed").relative_to(ROOT))]
    subprocess.run(made, cwd=ROOT, check=True, timeout=1200)


class Ports:
    """A hundred ports of this machine that no other Ports has: the first one is bound as a claim.

    They are outside the kernel's ephemeral range, and of the ranges that Ray has by default.
    """

    def __init__(self) -> None:
        while True:
            first = random.randrange(20_000, 30_000, 100)
            with suppress(OSError):
                self._claim = socket.create_server(("127.0.0.1", first))
                break
        self._left = iter(range(first + 1, first + 40))
        self.replicas = range(first + 40, first + 100)  # where HAProxy finds them, one a port

    def take(self, count: int = 1) -> int:
        """The first of so many consecutive ones that were not taken yet."""
        first, *_ = [next(self._left) for _ in range(count)]
        return first

    def give_back(self) -> None:
        """Leave them to others."""
        self._claim.close()


@dataclass
class Node:
    """A running ``ray start --block``, where its proxy listens, and its agent, which takes jobs."""

    process: "subprocess.Popen[bytes]"
    address: str
    url: str
    agent: int

    @property
    def pids(self) -> list[int]:
        """All its processes."""
        return tree(self.process.pid)

    def answers(self) -> bool:
        """Whether its proxy is there, which it is once there are replicas, and knows of them."""
        try:
            return httpx.get(f"{self.url}/-/healthz", timeout=180).is_success
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        """End all of it at once, as a loss of power does."""
        self.process.send_signal(signal.SIGSTOP)  # it must not see the others go
        pids = self.pids
        for pid in reversed(pids):
            os.kill(pid, signal.SIGKILL)
        self.process.wait(START_SECONDS)
        until(lambda: not any(map(alive, pids)))


@dataclass
class Cluster:
    """A head and other nodes; ``home`` has their logs.

    It has ports of its own: two clusters on one machine would share some of those that Ray has by
    default, and each get requests that were sent to the other.
    """

    haproxy: bool = False  # in the place of Serve's own proxies
    home: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp")))
    nodes: list[Node] = field(default_factory=list)
    ports: Ports = field(default_factory=Ports)
    deployed: Mapping[str, object] = field(default_factory=dict)  # the arguments, by the last one
    token: str = field(default_factory=partial(secrets.token_hex, 32))
    network: str = field(default_factory=lambda: f"127.{random.randint(1, 254)}.0")

    def __post_init__(self) -> None:
        self.gcs = self.ports.take()
        self.dashboard = self.ports.take()
        self.client = self.ports.take()  # Ray's own, for its client
        self.http = self.ports.take()
        self.fallback = self.ports.take()  # Serve's own proxy, beside the head's HAProxy

    @property
    def head(self) -> Node:
        """The node that has Serve's controller."""
        return self.nodes[0]

    @property
    def api(self) -> str:
        """The dashboard."""
        return f"http://{self.network}.1:{self.dashboard}"

    @property
    def environment(self) -> dict[str, str]:
        """That of all its processes."""
        own = {
            "RAY_AUTH_TOKEN": self.token,
            "RAY_SERVE_ENABLE_HA_PROXY": str(int(self.haproxy)),
            "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(self.fallback),
            "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(self.ports.replicas[0]),
            "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(self.ports.replicas[-1]),
        }
        return clean_environment() | ENVIRONMENT | own

    @property
    def key(self) -> dict[str, str]:
        """The header with the token."""
        return {"Authorization": f"Bearer {self.token}"}

    def ask(self, path: str) -> Any:
        """What the dashboard says."""
        answer = httpx.get(f"{self.api}{path}", headers=self.key, timeout=180)
        return answer.raise_for_status().json()

    def add(self, processors: int = 2) -> Node:
        """Start a node; the first one is the head."""
        number = len(self.nodes) + 1
        address = f"{self.network}.{number}"
        role = [f"--address={self.network}.1:{self.gcs}"]
        if number == 1:
            role = ["--head", f"--port={self.gcs}", f"--temp-dir={self.home}"]
            role += [f"--dashboard-host={address}", f"--dashboard-port={self.dashboard}"]
            role += ["--disable-usage-stats", f"--ray-client-server-port={self.client}"]
        agent = self.ports.take()
        flags = [f"--node-ip-address={address}", f"--num-cpus={processors}"]
        flags += [f"--dashboard-agent-listen-port={agent}"]
        flags += [f"--object-store-memory={STORE}", "--block"]
        port = self.http if number == 1 else self.ports.take()
        with (self.home / f"node-{number}.log").open("wb") as log:
            process = subprocess.Popen(
                [PROGRAMS / "ray", "start", *role, *flags],
                env=self.environment | self._apart(number, port),
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.nodes.append(Node(process, address, f"http://127.0.0.1:{port}", agent))
        until(lambda: self._listed() == len(self.nodes), START_SECONDS)
        return self.nodes[-1]

    def _apart(self, number: int, port: int) -> dict[str, str]:
        """What nodes must not share where they share a machine."""
        place = self.home / f"haproxy-{number}"
        place.mkdir(exist_ok=True)
        apart = {
            "STATS_PORT": self.ports.take(),
            "METRICS_PORT": self.ports.take(),
            "CONFIG_FILE_LOC": place / "haproxy.cfg",
            "SOCKET_PATH": place / "admin.sock",
            "SERVER_STATE_BASE": place,
            "SERVER_STATE_FILE": place / "server-state",
        }
        return {
            "RAY_SERVE_WORKER_PROXY_HTTP_PORT": str(port),
            **{f"RAY_SERVE_HAPROXY_{name}": str(value) for name, value in apart.items()},
        }

    def deploy(
        self,
        bundle: Path,
        arguments: Mapping[str, object],
        options: Mapping[str, object] | None = None,
    ) -> None:
        """``serve deploy`` the configuration that ships, but for what a test wants otherwise.

        ``options`` are of Serve's own, in the place of those that are derived.
        """
        self.deployed = arguments
        config = self.config(bundle, arguments, options)
        file = self.home / "serve-config.yaml"
        file.write_text(yaml.safe_dump(config))
        done = subprocess.run(
            [PROGRAMS / "serve", "deploy", file, "--address", self.api],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=START_SECONDS,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def config(
        self,
        bundle: Path,
        arguments: Mapping[str, object],
        options: Mapping[str, object] | None = None,
    ) -> dict[str, Any]:
        """The configuration that ships, for this cluster."""
        config: dict[str, Any] = yaml.safe_load(CONFIG.read_text())
        config["http_options"]["port"] = self.http
        (application,) = config["applications"]
        application["args"] = {"access_log": False, **arguments}
        (deployment,) = application["deployments"]
        deployment["user_config"] = {"bundle": str(bundle)}
        deployment.update(options or {})
        return config

    def status(self) -> dict[str, Any]:
        """What Serve says of the application."""
        told = self.ask("/api/serve/applications/")
        found: dict[str, Any] = told["applications"].get("greengrocer", {"status": "NONE"})
        return found

    def replicas(self) -> list[dict[str, Any]]:
        """The replicas that run."""
        deployments = self.status().get("deployments", {})
        return [
            replica
            for deployment in deployments.values()
            for replica in deployment["replicas"]
            if replica["state"] == "RUNNING"
        ]

    def until_running(self, count: int | None = None) -> None:
        """Wait until the application runs as it was deployed, with ``count`` replicas."""

        def running() -> bool:
            status = self.status()
            assert status["status"] != "DEPLOY_FAILED", status
            healthy = all(
                each["status"] == "HEALTHY" for each in status.get("deployments", {}).values()
            )
            enough = count is None or len(self.replicas()) == count
            return status["status"] == "RUNNING" and healthy and enough

        until(running, START_SECONDS)

    def until_answering(self) -> None:
        """Wait until each node's proxy knows of the replicas; what the proxies log is told."""
        try:
            until(lambda: all(node.answers() for node in self.nodes), START_SECONDS)
        except AssertionError as error:
            logs = (self.home / "session_latest" / "logs" / "serve").glob("proxy*.log")
            told = ["\n".join([log.name, *log.read_text().splitlines()[-30:]]) for log in logs]
            raise AssertionError("\n\n".join([str(error), *told])) from error

    def metrics_port(self) -> int:
        """The first replica's, as deployed; the others have the next ones."""
        port = self.deployed["metrics_port"]
        assert isinstance(port, int)
        return port

    def listening(self, ports: Collection[int]) -> set[tuple[str, int]]:
        """The addresses at which the cluster's processes listen on these ports."""
        pids = [pid for node in self.nodes for pid in node.pids]
        return {each for pid in pids for each in listening(pid) if each[1] in ports}

    def reports_usage(self) -> bool:
        """Whether Ray says that it reports usage."""
        return bool(self.ask("/usage_stats_enabled")["data"]["usageStatsEnabled"])

    def lose(self, node: Node) -> None:
        """Kill a node; the cluster need not have noticed yet."""
        node.kill()
        self.nodes.remove(node)

    def stop(self) -> None:
        """End all nodes, the head last, and what they wrote."""
        for node in reversed(self.nodes):
            if node.process.poll() is None:
                node.kill()
        self.ports.give_back()
        shutil.rmtree(self.home, ignore_errors=True)

    def _listed(self) -> int:
        """How many nodes the cluster has."""
        try:
            told = self.ask("/nodes?view=summary")
        except httpx.HTTPError:
            assert self.head.process.poll() is None, (self.home / "node-1.log").read_text()
            return 0
        summary = told["data"]["summary"]
        return sum(node["raylet"].get("state") == "ALIVE" for node in summary)
