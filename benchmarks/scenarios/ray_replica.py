"""A plain process against a replica of Ray Serve: what do the proxy and the cluster cost?"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import yaml

from benchmarks.load import picture_request
from benchmarks.pictures import read_pictures
from benchmarks.processes import STOP_SECONDS, Service, free_port, service
from benchmarks.scenarios.workers import ALONE, ARRANGEMENTS, Results, load_in_turn, table

PROGRAMS = Path(".venv-ray/bin").absolute()
CONFIG = Path("deploy/ray/serve-config.yaml")
START_SECONDS = 180.0
STORE = 80_000_000  # bytes, the least that Ray takes
ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_USAGE_STATS_REPORT_URL": "http://127.0.0.1:9"}
# Loopback addresses: for 127.0.0.1 Ray would take the machine's own one, which is open to others.
HAPROXY = {"RAY_SERVE_ENABLE_HA_PROXY": "1"}
CLUSTERS: dict[str, tuple[str, dict[str, str], int]] = {  # with so many replicas
    "Ray Serve": ("127.0.0.2", {}, 1),
    "Ray Serve, two replicas": ("127.0.0.4", {}, 2),
    "Ray Serve with HAProxy": ("127.0.0.3", HAPROXY, 1),  # its ports allow no second replica
}
WORKERS = "`--workers 2`"


def run(bundle: str, data: Path | None, rounds: int, seconds: float) -> str:
    """Measure, and return the table."""
    return table(measure(bundle, data, rounds, seconds))


def measure(bundle: str, data: Path | None, rounds: int, seconds: float) -> Results:
    """Load them in turn, ``rounds`` times; each has all processors for its images."""
    requests = [picture_request(image) for image in read_pictures(data)]
    with ExitStack() as stack:
        servers = {ALONE: stack.enter_context(service("--bundle", bundle))}
        flags = ARRANGEMENTS[WORKERS]
        servers[WORKERS] = stack.enter_context(service("--bundle", bundle, *flags))
        for name, cluster in CLUSTERS.items():
            servers[name] = stack.enter_context(ray_service(bundle, *cluster))
        return load_in_turn(servers, requests, rounds, seconds)


@contextmanager
def ray_service(
    bundle: str, address: str, environment: dict[str, str], replicas: int
) -> Iterator[Service]:
    """A cluster of one node, whose replicas share out its processors."""
    made = ["make", "--quiet", ".venv-ray/installed"]
    subprocess.run(made, check=True, stdout=sys.stderr)
    home = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # sockets in it: the path is short
    processors = len(os.sched_getaffinity(0))
    port, dashboard, gcs = free_port(), free_port(), free_port()
    flags = [f"--node-ip-address={address}", f"--num-cpus={processors}", f"--port={gcs}"]
    flags += [f"--dashboard-host={address}", f"--dashboard-port={dashboard}", "--block"]
    flags += [f"--object-store-memory={STORE}", f"--temp-dir={home}", "--disable-usage-stats"]
    flags += [f"--ray-client-server-port={free_port()}"]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [PROGRAMS / "ray", "start", "--head", *flags],
            env=os.environ | ENVIRONMENT | environment,
            stdout=log,
            stderr=log,
        )
    try:
        _deploy(
            f"http://{address}:{dashboard}", _config(bundle, processors // replicas, replicas, port)
        )
        yield Service(process.pid, port)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(STOP_SECONDS)
        shutil.rmtree(home, ignore_errors=True)


def _config(bundle: str, processors: int, replicas: int, port: int) -> dict[str, object]:
    """The configuration that ships, adapted to this machine."""
    config = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    config["http_options"]["port"] = port
    config["logging_config"] = {"enable_access_log": False}  # as the plain process has none
    (application,) = config["applications"]
    bounds = {"min_replicas": replicas, "max_replicas": replicas}
    application["args"] = {"num_cpus": processors, "access_log": False, **bounds}
    application["deployments"][0]["user_config"]["bundle"] = bundle
    return dict(config)


def _deploy(api: str, config: dict[str, object]) -> None:
    """Do as ``serve deploy`` does, and wait; raises RuntimeError if that fails."""
    applications = f"{api}/api/serve/applications/"
    end = time.monotonic() + START_SECONDS
    asked = False
    while time.monotonic() < end:
        try:
            if not asked:
                asked = httpx.put(applications, json=config, timeout=60).is_success
            status = httpx.get(applications, timeout=60).json()["applications"]
        except (httpx.HTTPError, ValueError, KeyError):
            status = {}
        if status.get("greengrocer", {}).get("status") == "RUNNING":
            return
        time.sleep(0.2)
    raise RuntimeError(f"the replica did not start: {status}")
