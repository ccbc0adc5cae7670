"""A service whose bundles are in a store: named by the operator, and by nobody else."""

import hashlib
import json
import signal
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from greengrocer.bundles.bundle import digest_of
from greengrocer.bundles.manifest import MANIFEST
from greengrocer.cli.main import main
from greengrocer.errors import ControlRefused
from greengrocer.serving.reloading.control import ask
from support.bundles import write_fake_bundle
from support.make_images import jpeg
from support.object_store import ObjectStore
from support.servers import Server, StartServer

SHOP = "s3://bucket/shop"
PLACE = "/bucket/shop"
PIN = "@sha256:"

in_all_arrangements = pytest.mark.parametrize(
    "workers", [(), ("--workers", "1")], ids=["one process", "workers"]
)


@pytest.fixture
def first(store: ObjectStore, tmp_path: Path) -> Path:
    """A bundle that is in the store."""
    directory = write_fake_bundle(tmp_path / "first")
    store.put_bundle(directory, PLACE)
    return directory


@pytest.fixture
def start(serve: StartServer, tmp_path: Path, cache: Path) -> Callable[..., Server]:
    """Start a service with a cache and a control socket of the test's own."""
    home = tmp_path / "control"
    home.mkdir(mode=0o700)

    def started(*flags: str) -> Server:
        kept = ("--bundle-cache", str(cache), "--control-socket", str(home / "socket"))
        return serve("--engine", "fake", *kept, *flags)

    return started


@pytest.fixture
def order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run `greengrocer models`, and return what it printed."""

    def run(*arguments: str, code: int = 0) -> str:
        socket = ("--control-socket", str(tmp_path / "control" / "socket"))
        assert main(["models", *arguments, *socket]) == code
        done = capsys.readouterr()
        return done.err if code else done.out

    return run


def version(server: Server, path: str = "/predict") -> str:
    """The version that answers."""
    with server.client() as client:
        answer = client.post(path, content=jpeg(100), headers={"Content-Type": "image/jpeg"})
    assert answer.status_code == 200, answer.text
    found: str = answer.json()["model"]["version"]
    return found


def fetches(server: Server) -> list[str]:
    """Which bundles were fetched, as the log says."""
    return [line.split()[-1] for line in server.log if "fetching bundle" in line]


@in_all_arrangements
def test_a_bundle_from_a_store_is_served_and_read_again(
    store: ObjectStore,
    first: Path,
    tmp_path: Path,
    start: Callable[..., Server],
    workers: tuple[str, ...],
) -> None:
    server = start("--bundle", f"shop={SHOP}", *workers)
    assert version(server, "/models/shop/predict") == "1"
    store.put_bundle(write_fake_bundle(tmp_path / "second", version="2"), PLACE)
    before = version(server)
    server.process.send_signal(signal.SIGHUP)
    server.until_logged(lambda: any("reloaded" in line for line in server.log))
    assert (before, version(server)) == ("1", "2")
    del first


def test_a_pinned_bundle_is_served_while_the_store_is_down(
    store: ObjectStore, first: Path, start: Callable[..., Server]
) -> None:
    pinned = f"{SHOP}{PIN}{digest_of(first)}"
    before = start("--bundle", SHOP)
    assert before.stop() == 0
    assert fetches(before) == [f"bundle={pinned}"]
    store.status = 503
    store.asked.clear()
    server = start("--bundle", pinned)
    assert version(server) == "1"
    server.process.send_signal(signal.SIGHUP)
    server.until_logged(lambda: any("reloaded" in line for line in server.log))
    assert store.asked == []
    assert fetches(server) == []


@in_all_arrangements
@pytest.mark.usefixtures("first")
def test_a_model_is_loaded_from_a_store_by_order(
    store: ObjectStore,
    fake_bundle: Path,
    start: Callable[..., Server],
    order: Callable[..., str],
    workers: tuple[str, ...],
) -> None:
    server = start("--bundle", str(fake_bundle), *workers)
    refused = order("load", f"shop={SHOP}{PIN}{'0' * 64}", code=2)
    assert "has the digest" in refused
    assert order("load", f"shop={SHOP}") == "loaded shop 1\n"
    assert version(server, "/models/shop/predict") == "1"
    assert f"  {SHOP}\n" in order("list")
    order("unload", "shop")
    assert order("load", "shop") == "loaded shop 1\n"
    assert store.paths("GET").count(f"{PLACE}/model.onnx") == 1


def test_a_model_whose_store_fails_leaves_the_others(
    store: ObjectStore, fake_bundle: Path, start: Callable[..., Server], order: Callable[..., str]
) -> None:
    store.status = 403
    server = start("--bundle", str(fake_bundle), "--bundle", f"{SHOP}{PIN}{'0' * 64}")
    assert version(server) == "1"
    assert "shop" in order("list")
    assert any("credentials do not allow" in line for line in server.log)


@pytest.mark.usefixtures("first")
def test_a_bundle_that_answers_wrongly_is_refused_as_a_local_one_is(
    fake_bundle: Path, store: ObjectStore, start: Callable[..., Server], order: Callable[..., str]
) -> None:
    server = start("--bundle", str(fake_bundle))
    store.objects[f"{PLACE}/golden.jpg"] = damaged = jpeg(0)
    manifest = json.loads(store.objects[f"{PLACE}/{MANIFEST}"])
    manifest["files"]["golden.jpg"] = hashlib.sha256(damaged).hexdigest()
    manifest["golden_tolerance"] = 0.01
    store.objects[f"{PLACE}/{MANIFEST}"] = json.dumps(manifest).encode()
    assert "golden.jpg is answered" in order("load", f"shop={SHOP}", code=2)
    assert version(server) == "1"


@pytest.mark.usefixtures("first")
def test_other_orders_are_obeyed_while_a_bundle_is_fetched(
    store: ObjectStore,
    fake_bundle: Path,
    tmp_path: Path,
    start: Callable[..., Server],
    order: Callable[..., str],
) -> None:
    server = start("--bundle", f"greys={fake_bundle}")
    order("reload", "greys", "--bundle", str(write_fake_bundle(tmp_path / "bad", version="2")))
    store.gate = threading.Event()
    with ThreadPoolExecutor() as pool:
        load = {"order": "load", "model": "shop", "bundle": SHOP}
        asked = pool.submit(ask, tmp_path / "control" / "socket", load)
        assert store.waiting.wait(60)
        assert order("rollback", "greys") == "now serving greys 1 (before: greys 2)\n"
        store.gate.set()
        assert asked.result()["ok"]
    assert version(server, "/models/shop/predict") == "1"


@in_all_arrangements
def test_an_order_that_was_broken_off_keeps_no_other_from_the_same_bundle(
    store: ObjectStore,
    first: Path,
    fake_bundle: Path,
    tmp_path: Path,
    start: Callable[..., Server],
    order: Callable[..., str],
    workers: tuple[str, ...],
) -> None:
    start("--bundle", f"greys={fake_bundle}", *workers)
    store.put_bundle(first, "/bucket/other")
    store.drips = {f"{PLACE}/model.onnx"}
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "control" / "socket"))
        load = {"order": "load", "model": "shop", "bundle": SHOP}
        client.sendall(json.dumps(load).encode() + b"\n")
        assert store.waiting.wait(60)
    assert order("load", "shop=S3://bucket/other") == "loaded shop 1\n"
    assert "/bucket/other/model.onnx" in store.paths("GET")


@in_all_arrangements
@pytest.mark.usefixtures("first")
def test_a_service_stops_while_a_store_does_not_answer(
    store: ObjectStore,
    fake_bundle: Path,
    tmp_path: Path,
    start: Callable[..., Server],
    workers: tuple[str, ...],
) -> None:
    server = start("--bundle", str(fake_bundle), *workers)
    store.gate = threading.Event()
    with ThreadPoolExecutor() as pool:
        load = {"order": "load", "model": "shop", "bundle": SHOP}
        asked = pool.submit(ask, tmp_path / "control" / "socket", load)
        assert store.waiting.wait(60)
        sent = store.sent
        assert server.stop() == 0
        assert store.sent == sent  # it had not answered by then
        with pytest.raises(ControlRefused, match="ended without an answer"):
            asked.result()
    assert "Traceback" not in "".join(server.log)


@pytest.mark.usefixtures("first")
def test_no_request_can_name_an_address(
    store: ObjectStore, fake_bundle: Path, start: Callable[..., Server]
) -> None:
    server = start("--bundle", str(fake_bundle))
    quoted = SHOP.replace("/", "%2F")
    with server.client() as client:
        for name in (SHOP, quoted, f"{quoted}{PIN}{'0' * 64}", f"shop={quoted}"):
            for path in (
                f"/models/{name}/predict",
                f"/models/{name}/predict/batch",
                f"/models/{name}/explain",
                f"/v2/models/{name}/infer",
                f"/v2/models/{name}/versions/{name}/infer",
                f"/v2/repository/models/{name}/load",
            ):
                assert client.post(path, content=jpeg(100)).status_code == 404
        for parameter in ("bundle", "model", "url"):
            asked = client.post("/predict", params={parameter: SHOP}, content=jpeg(100))
            assert asked.status_code == 422
            form = client.post("/predict", data={parameter: SHOP}, files={"file": jpeg(100)})
            assert form.status_code == 200
        link = {"inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": [SHOP]}]}
        link["parameters"] = {"bundle": SHOP}  # type: ignore[assignment]
        assert client.post("/v2/models/greys/infer", json=link).status_code == 400
    assert store.asked == []
