"""The production guide's configurations are accepted and work."""

import re
import shlex
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import yaml
from tools.reference_pages import metrics

from greengrocer.cli.main import build_parser
from greengrocer.read_settings import read_settings
from greengrocer.serving.hang_watch import HUNG_GRACE, LOOKS
from greengrocer.settings import Settings
from support.documents import ROOT, blocks, needed
from support.make_images import jpeg
from support.servers import Server, StartServer
from support.waiting import SECONDS, until

pytestmark = pytest.mark.leg("documentation")

GUIDE = ROOT / "docs" / "guides" / "production.md"
TEXT = GUIDE.read_text(encoding="utf-8")
OBSERVABILITY = ROOT / "deploy" / "observability"
QUERYING = (
    GUIDE,
    GUIDE.parent / "many-models.md",
    OBSERVABILITY / "rules.yml",
    OBSERVABILITY / "dashboard.json",
)
QUERIES = "".join(file.read_text(encoding="utf-8") for file in QUERYING)
ROW = re.compile(r"^\| `(\w+)` \| \w+ \| (.*?) \|", re.MULTILINE)  # of the table of metrics
# in a sentence, or in the next cell of a table
DEFAULT = re.compile(
    r"`--([a-z-]+)`(?: \(|[^|`\n]*(?:, `--[a-z-]+`)? \| )(\d+(?: MB|M)?)(?: s\b| \|)"
)
LABEL = re.compile(r"`(\w+)`")
CERTIFICATE = "/etc/haproxy/shop.pem"


def shown(language: str) -> list[str]:
    return [block.text for block in blocks(GUIDE) if block.language == language]


def unit() -> dict[str, str]:
    """What the unit of systemd says, by name."""
    (text,) = shown("ini")
    lines = text.replace("\\\n", " ").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate of our own, in one file."""
    needed("openssl")
    home = tmp_path_factory.mktemp("certificate")
    new = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"]
    out = ["-keyout", str(home / "key"), "-out", str(home / "certificate")]
    subprocess.run([*new, *out], check=True, capture_output=True)
    pem = home / "shop.pem"
    pem.write_text((home / "certificate").read_text() + (home / "key").read_text())
    return pem


@contextmanager
def balancer(directory: Path, server: Server, certificate: Path) -> Iterator[str]:
    """HAProxy as the guide configures it, but for addresses; yields its own."""
    needed("haproxy")
    (text,) = shown("haproxy")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port, own = listener.getsockname()[1], listener.fileno()
        for said, here in (
            ("bind :443", f"bind fd@{own}"),
            (CERTIFICATE, str(certificate)),
            ("127.0.0.1:8000", f"127.0.0.1:{server.port}"),
        ):
            assert said in text
            text = text.replace(said, here)
        (directory / "haproxy.cfg").write_text(text)
        process = subprocess.Popen(
            ["haproxy", "-db", "-f", "haproxy.cfg"], cwd=directory, pass_fds=[own]
        )
    try:
        yield f"https://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def test_the_balancer_serves_tls_and_http2(
    tmp_path: Path, fake_server: Server, certificate: Path
) -> None:
    needed("curl")
    (tmp_path / "photo.jpg").write_bytes(jpeg(100))
    ask = ["curl", "-sk", "--http2", "--retry", "9", "-F", "file=@photo.jpg"]
    told = ["-w", "%{http_version}", "-o", "answer.json"]
    with balancer(tmp_path, fake_server, certificate) as url:
        done = subprocess.run(
            [*ask, *told, f"{url}/predict"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
    assert done.stdout == "2"
    assert '"prediction"' in (tmp_path / "answer.json").read_text()


SPELLINGS = (
    *("/metrics", "/metrics?x=1", "/%6detrics", "/%6Detrics", "/metric%73", "/%6d%65trics?x"),
    *("https://shop.example/metrics", "https://shop.example/%6detrics"),
)


def test_the_balancer_denies_every_spelling_of_the_metrics_path(
    tmp_path: Path, fake_server: Server, certificate: Path
) -> None:
    insecure = ssl.create_default_context()
    insecure.check_hostname, insecure.verify_mode = False, ssl.CERT_NONE

    def status(target: str) -> int:
        """What the balancer, or the service behind it, answers to exactly this."""
        lines = (f"GET {target} HTTP/1.1", "Host: shop.example", "Connection: close", "", "")
        place = httpx.URL(url)
        with (
            socket.create_connection((place.host, place.port), SECONDS) as plain,
            insecure.wrap_socket(plain) as wire,
        ):
            wire.sendall("\r\n".join(lines).encode())
            return int(wire.makefile("rb").readline().split()[1])

    with balancer(tmp_path, fake_server, certificate) as url:
        until(lambda: status("/livez") == 200)
        assert {target: status(target) for target in SPELLINGS} == dict.fromkeys(SPELLINGS, 403)
        assert status("/%256detrics") == 404


@pytest.mark.accept
def test_the_balancer_notices_a_stopping_service(
    tmp_path: Path, serve: StartServer, fake_bundle: Path, certificate: Path
) -> None:
    server = serve("--bundle", str(fake_bundle), "--engine", "fake", "--drain-delay-seconds", "600")
    with balancer(tmp_path, server, certificate) as url, httpx.Client(verify=False) as client:
        until(lambda: client.get(f"{url}/livez").status_code == 200)
        server.process.terminate()
        until(lambda: client.get(f"{url}/livez").status_code == 503)
        server.process.terminate()
        assert server.ended() == 0


def test_the_balancers_time_outs_fit_the_services() -> None:
    """What the guide says about how its times and ours must stand to each other."""
    (text,) = shown("haproxy")
    times = {name: float(value) for name, value in re.findall(r"(server|inter) (\d+)s", text)}
    defaults = Settings()
    assert times["server"] > defaults.request_timeout_seconds
    assert times["inter"] < defaults.drain_delay_seconds


def test_the_documented_defaults_are_true() -> None:
    told = DEFAULT.findall(TEXT)
    assert len(told) > 10
    for flag, number in told:
        default = read_settings({flag.replace("-", "_"): number}).model_dump()
        assert default == Settings().model_dump(), flag


def test_a_hang_is_told_when_the_guide_says() -> None:
    timeout = Settings().request_timeout_seconds
    latest = HUNG_GRACE + (timeout + HUNG_GRACE) / LOOKS
    said = f"{HUNG_GRACE:g} to {latest:g} s after the request time-out of {timeout:g} s"
    assert said in TEXT


def test_the_systemd_unit_starts_the_service_and_waits_long_enough() -> None:
    said = unit()
    program, *arguments = shlex.split(said["ExecStart"])
    assert program.endswith("/.venv/bin/greengrocer")
    flags = vars(build_parser().parse_args(arguments))
    settings = read_settings({k: v for k, v in flags.items() if k in Settings.model_fields})
    assert settings.control_socket is not None
    assert settings.control_socket.parent == Path("/run", said["RuntimeDirectory"])
    assert (
        int(said["TimeoutStopSec"]) > settings.drain_delay_seconds + settings.drain_timeout_seconds
    )


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    needed("systemd-analyze")
    (text,) = shown("ini")
    units = tmp_path / "etc" / "systemd" / "system"
    units.mkdir(parents=True)
    (units / "greengrocer.service").write_text(text)
    for target in ("sysinit", "basic", "shutdown", "multi-user"):  # what every unit depends on
        (units / f"{target}.target").write_text("[Unit]\n")
    for name in ("ExecStart", "ExecReload"):
        program = tmp_path / unit()[name].split()[0].lstrip("/")
        program.parent.mkdir(parents=True)
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    command = ["systemd-analyze", "verify", "--man=no", f"--root={tmp_path}", "greengrocer.service"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_probes_exist_and_the_grace_period_covers_draining(fake_server: Server) -> None:
    pod = yaml.safe_load(shown("yaml")[0])
    with fake_server.client() as client:
        for probe in ("readinessProbe", "livenessProbe"):
            assert client.get(pod[probe]["httpGet"]["path"]).status_code == 200
    settings = Settings()
    assert (
        pod["terminationGracePeriodSeconds"]
        > settings.drain_delay_seconds + settings.drain_timeout_seconds
    )
    probe = pod["readinessProbe"]
    unready = probe["periodSeconds"] * probe["failureThreshold"] + probe["timeoutSeconds"]
    assert unready < settings.drain_delay_seconds
    checked = re.search(r"check inter (\d+)s fall (\d+)", shown("haproxy")[0])
    assert checked is not None
    assert 1 < int(checked[2]) < settings.drain_delay_seconds / int(checked[1])


def test_every_queried_metric_exists(serve: StartServer, fake_bundle: Path) -> None:
    bundles = ("--bundle", str(fake_bundle), "--bundle", "gone=/gone")  # one that fails to load
    server = serve(*bundles, "--engine", "fake", "--max-batch-size", "2")
    with server.client() as client:
        client.post("/predict", files={"file": jpeg(100)})
        client.post("/predict", files={"file": b"no image"})
        told = set(re.findall(r"^(?:# TYPE )?([a-z_]+)", client.get("/metrics").text, re.MULTILINE))
    asked = set(re.findall(r"\bgreengrocer_[a-z_]+", QUERIES))
    assert len(asked) > 5
    assert asked <= told | {name.removesuffix("_count") for name in told}


def test_every_queried_label_belongs_to_its_metric() -> None:
    declared = {name: set(LABEL.findall(labels)) for name, labels in ROW.findall(metrics())}
    for name, selectors in re.findall(r"(greengrocer_[a-z_]+)\{([^}]*)\}", QUERIES):
        labels = {selector.partition("=")[0] for selector in selectors.split(",")} - {"job"}
        assert labels <= declared[re.sub(r"_(bucket|sum|count)$", "", name)]
