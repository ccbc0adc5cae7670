"""The container image: what it holds, and that it serves as in a cluster."""

import os
import sys
import tomllib
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name
from tools.check_floors import requirements

from greengrocer import __version__
from greengrocer.datasets.gallery import built_in_gallery
from greengrocer.read_settings import read_settings
from greengrocer.settings import PREFIX, Settings
from greengrocer.web.access.keys import add_key
from support.containers import may_mount, start_container
from support.dockerfile import Image, steps
from support.documents import ROOT
from support.manifests import DEPLOY, image_environment, pods
from support.servers import Server

pytestmark = pytest.mark.leg("image")

SAID = list(steps((DEPLOY / "Dockerfile").read_text(encoding="utf-8")))
MAX_ENVIRONMENT = 250_000_000  # bytes
NAMED = "Granny-Smith"  # by either bundle


def said(instruction: str) -> list[str]:
    return [rest for name, rest in SAID if name == instruction]


def test_the_image_is_built_in_stages_from_a_base_without_a_registry() -> None:
    assert [rest.partition(" ")[0] for rest in said("FROM")] == ["python:${PYTHON}-slim"] * 2


def test_the_user_is_numeric_and_not_root() -> None:
    ((user, _, group),) = [rest.partition(":") for rest in said("USER")]
    assert int(user) > 0 < int(group)


def test_the_environment_of_the_image_is_valid_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = {k: v for k, v in image_environment().items() if k.startswith(PREFIX)}
    assert ours.keys() <= {PREFIX + name.upper() for name in Settings.model_fields}
    for key, value in ours.items():
        monkeypatch.setenv(key, value)
    settings = read_settings({})
    assert settings.host == "0.0.0.0"
    assert said("EXPOSE") == [str(settings.port)]


def test_the_image_is_built_with_pinned_packages() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    pinned = requirements(ROOT / "requirements" / "build.txt")
    assert set(project["build-system"]["requires"]) <= set(pinned)
    assert {"==" in each for each in pinned} == {True}
    for step in said("RUN"):
        if "/pip install " in step:
            assert "-r requirements/" in step or "--no-deps --no-build-isolation" in step


def test_requirements_pin_one_version_of_each_package() -> None:
    found: dict[str, set[str]] = {}
    for file in ("serve", "build", "dev", "torch"):
        for line in requirements(ROOT / "requirements" / f"{file}.txt"):
            if ";" not in line:
                name, _, version = line.partition("==")
                found.setdefault(name, set()).add(version)
    assert {name: each for name, each in found.items() if len(each) > 1} == {}


@pytest.mark.accept
def test_the_image_holds_exactly_the_pinned_packages(image: Image, pinned: dict[str, str]) -> None:
    (packages,) = image.root.glob("opt/greengrocer/lib/python*/site-packages")
    installed = distributions(path=[str(packages)])
    found: dict[str, str] = {canonicalize_name(each.name): each.version for each in installed}
    assert found.pop("greengrocer") == __version__
    assert found == pinned
    assert not list(packages.glob("greengrocer/bundled/*/weights.safetensors"))


@pytest.mark.accept
def test_the_environment_of_the_image_is_small(image: Image) -> None:
    files = (Path(folder, name) for folder, _, names in os.walk(image.root) for name in names)
    size = sum(file.lstat().st_size for file in files)
    assert size <= MAX_ENVIRONMENT, f"{size / 1e6:.0f} MB"


def asked(server: Server, key: str = "") -> None:
    """It is ready and names an image."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    pictures = {each.true_class: each.path for each in built_in_gallery().pictures}
    with server.client() as client:
        assert client.get("/readyz").status_code == 200
        answer = client.post(
            "/predict", headers=headers, files={"file": pictures[NAMED].read_bytes()}
        )
        assert answer.status_code == 200, answer.text
        assert answer.json()["prediction"] == NAMED


@pytest.mark.accept
@pytest.mark.parametrize("workers", ["", "2"], ids=["one-process", "workers"])
def test_the_image_serves_unprivileged_on_a_read_only_root(image: Image, workers: str) -> None:
    told = {"GREENGROCER_WORKERS": workers} if workers else {}
    server = start_container(image, writable=True, GREENGROCER_DRAIN_DELAY_SECONDS="0", **told)
    try:
        process = Path("/proc", str(server.process.pid))
        status = dict(
            line.split(":\t", 1) for line in (process / "status").read_text().splitlines()
        )
        assert set(status["Uid"].split()) == {image.user.partition(":")[0]}
        assert (int(status["CapEff"], 16), status["NoNewPrivs"]) == (0, "1")
        if may_mount():
            mounts = [line.split() for line in (process / "mountinfo").read_text().splitlines()]
            options = {mount[4]: mount[5].split(",") for mount in mounts}
            assert "ro" in options["/"]
            assert "ro" in options[str(image.root)]
        asked(server)
    finally:
        assert server.stop() == 0, "".join(server.log)


@pytest.mark.accept
def test_one_process_needs_no_writable_directory(image: Image) -> None:
    server = start_container(image, writable=False, GREENGROCER_DRAIN_DELAY_SECONDS="0")
    try:
        asked(server)
    finally:
        assert server.stop() == 0, "".join(server.log)


@pytest.mark.accept
def test_the_image_serves_with_the_production_settings(image: Image) -> None:
    pod = pods()["kubernetes/production"]
    told = {each["name"]: each["value"] for each in pod.container["env"]}
    keys = Path(image.here(told["GREENGROCER_API_KEYS"]))
    keys.parent.mkdir(parents=True)
    key = add_key(keys, "till-1")
    os.chown(keys, 0, int(image.user.partition(":")[2]))  # as a secret's file is
    keys.chmod(0o440)
    free = {"GREENGROCER_METRICS_PORT": "0", "GREENGROCER_DRAIN_DELAY_SECONDS": "0"}
    server = start_container(
        image, writable=True, **told | free | {"GREENGROCER_API_KEYS": str(keys)}
    )
    try:
        asked(server, key)
        with server.client() as client:
            assert client.post("/predict", content=b"").status_code == 401
            known = {"Authorization": f"Bearer {key}"}
            assert client.get("/metrics", headers=known).status_code == 404  # on its own port
    finally:
        assert server.stop() == 0, "".join(server.log)


@pytest.mark.accept
@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="torch's wheel is that of Python 3.11")
def test_an_image_for_gpus_serves_the_float_network(image_with_torch: Image) -> None:
    told = {"GREENGROCER_ENGINE": "torch", "GREENGROCER_DEVICE": "cpu"}
    server = start_container(
        image_with_torch, writable=True, GREENGROCER_DRAIN_DELAY_SECONDS="0", **told
    )
    try:
        asked(server)
    finally:
        assert server.stop() == 0, "".join(server.log)
