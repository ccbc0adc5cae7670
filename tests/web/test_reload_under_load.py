"""No request fails when the model changes under load."""

import shutil
from pathlib import Path

import pytest

from greengrocer.bundles.bundle import shipped_bundles
from greengrocer.bundles.manifest import read_manifest, write_manifest
from greengrocer.serving.reloading.control import ask
from support.bundles import write_fake_bundle
from support.load import load
from support.make_images import encoded, jpeg, photo
from support.orders import reload
from support.servers import StartServer

CLIENTS = 4
PATIENT = (
    *("--request-timeout-seconds", "60", "--max-queue-seconds", "60"),
    *("--access-log", "false"),
)
LONG = 600.0  # seconds: for a thousand answers, on a machine that has much else to do

in_all_arrangements = pytest.mark.parametrize(
    "workers", [(), ("--workers", "2")], ids=["one process", "workers"]
)


@pytest.mark.accept
@in_all_arrangements
def test_no_request_fails_while_models_change(
    serve: StartServer, tmp_path: Path, runtime: Path, workers: tuple[str, ...]
) -> None:
    first = write_fake_bundle(tmp_path / "first")
    other = write_fake_bundle(tmp_path / "other", version="2")
    flags = ("--bundle", str(first), "--engine", "fake", *workers)
    server = serve(*flags, XDG_RUNTIME_DIR=str(runtime))
    with load(server.url, jpeg(250), CLIENTS, kept=True) as clients:
        for wanted, source in (("2", other), ("1", first)) * 5:
            assert reload(server, runtime, source)["ok"]
            clients.until_more_of(wanted, 40)
    assert not clients.others
    assert set(clients.versions) == {"1", "2"}


@pytest.mark.accept
@in_all_arrangements
def test_none_of_ten_thousand_requests_fails_while_the_shipped_model_is_changed(
    serve: StartServer,
    tmp_path: Path,
    runtime: Path,
    workers: tuple[str, ...],
) -> None:
    bundle = shipped_bundles()["fast"]
    shipped = read_manifest(bundle)
    other = tmp_path / "other"
    shutil.copytree(bundle, other)
    write_manifest(shipped.model_copy(update={"version": "other"}), other)
    flags = ("--bundle", str(bundle), *PATIENT, *workers)
    server = serve(*flags, XDG_RUNTIME_DIR=str(runtime))
    with load(server.url, encoded(photo(1), "JPEG"), CLIENTS, kept=True) as clients:
        for wanted, source in (("other", other), (shipped.version, bundle)) * 5:
            assert reload(server, runtime, source)["ok"]
            clients.until_more_of(wanted, 1000, LONG)
    assert not clients.others
    assert set(clients.versions) == {"other", shipped.version}
    assert clients.statuses[200] >= 10_000


@pytest.mark.accept
@in_all_arrangements
def test_none_of_ten_thousand_requests_is_lost_while_models_come_and_go(
    serve: StartServer, tmp_path: Path, runtime: Path, workers: tuple[str, ...]
) -> None:
    bundle = shipped_bundles()["fast"]
    shipped = read_manifest(bundle)
    other = tmp_path / "other"
    shutil.copytree(bundle, other)
    write_manifest(shipped.model_copy(update={"version": "other"}), other)
    flags = ("--bundle", str(bundle), *PATIENT, *workers)
    server = serve(*flags, XDG_RUNTIME_DIR=str(runtime))
    path = runtime / "greengrocer" / f"{server.port}.sock"
    with load(server.url, encoded(photo(1), "JPEG"), CLIENTS, kept=True) as clients:
        for _ in range(5):
            for order, wanted in (
                ({"order": "load", "bundle": str(other), "model": "shop"}, shipped.version),
                ({"order": "default", "model": "shop"}, "other"),
                ({"order": "default", "model": shipped.name}, shipped.version),
                ({"order": "unload", "model": "shop"}, shipped.version),
            ):
                assert ask(path, order)["ok"]
                clients.until_more_of(wanted, 500, LONG)
    assert not clients.others
    assert clients.statuses[200] >= 10_000
