"""The black-box suite, against the service in one process and in several."""

from pathlib import Path

import pytest
from conformance.corpus import DAMAGES, SOUND, damaged, names, sound
from conformance.processes import processes
from conformance.test_description import pass_schemathesis
from conformance.wire import exchange, post

from greengrocer.cli.main import main
from greengrocer.web.access.keys import add_key
from support.access import bearer
from support.bundles import write_fake_bundle
from support.rpc import address_of
from support.scrapes import scrape
from support.servers import Server, StartServer
from support.suite import pass_suite

pytestmark = [pytest.mark.accept, pytest.mark.leg("black-box suite")]

RPC = ("--grpc-port", "0")
LONG = 600  # seconds: only a hang takes as long
SOME = [name for kind in SOUND for damage in DAMAGES for name in names(kind, damage, 1, 20)]
ROUNDS = 6
KEPT = 20_000  # kilobytes, of all rounds, beyond what sound images have taken
LEFT = 2000  # kilobytes, of a round: less than one of each image


def held_against(server: Server, scratch: Path, *chosen: str) -> None:
    """Hold a service against the suite, or what is ``chosen`` of it; all of that must pass."""
    rpc = f"--grpc-address={address_of(server)}"
    printed = pass_suite(server.url, scratch, f"--pid={server.process.pid}", rpc, *chosen)
    assert " skipped" not in printed


def started(serve: StartServer, bundle: Path, workers: int | None, *flags: str) -> Server:
    """A service of so many processes, all of which are there."""
    several = ["--workers", str(workers)] if workers else []
    server = serve("--bundle", str(bundle), "--access-log", "false", *RPC, *flags, *several)
    server.until_serving(workers or 1)
    return server


@pytest.mark.parametrize("workers", [None, 2])
def test_the_service_passes_the_suite(
    serve: StartServer,
    fake_bundle: Path,
    tmp_path: Path,
    runtime: Path,
    monkeypatch: pytest.MonkeyPatch,
    workers: int | None,
) -> None:
    """It has two models, and a version beside the first that shares its requests."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    beside = write_fake_bundle(tmp_path / "beside", version="2")
    more = ("--bundle", f"second={fake_bundle}", "--bundle", f"greys@next={beside}")
    server = started(serve, fake_bundle, workers, "--engine", "fake", *more)
    split = ["models", "split", "greys=50", "greys@next=50", "--port", str(server.port)]
    assert main(split) == 0
    held_against(server, tmp_path / "suite")


def test_with_keys_schemathesis_finds_nothing(
    serve: StartServer, fake_bundle: Path, tmp_path: Path
) -> None:
    """It asks without a key, too, and with a wrong one: whatever is described wants one."""
    key = add_key(tmp_path / "keys", "suite")
    own = ("--engine", "fake", "--api-keys", str(tmp_path / "keys"))
    server = started(serve, fake_bundle, None, *own)
    pass_schemathesis(server.url, tmp_path, "--header", f"Authorization: Bearer {key}")
    with server.client() as client:
        client.headers.update(bearer(key))
        refused = {
            dict(labels)["route"]
            for (name, labels), count in scrape(client).items()
            if name == "greengrocer_requests_total" and ("status", "401") in labels and count
        }
        described = client.get("/openapi.json").json()["paths"].items()
    guarded = {path for path, ways in described if any("security" in way for way in ways.values())}
    assert {path for path in guarded if "{" not in path} <= refused  # others have no route yet


@pytest.mark.parametrize("workers", [None, 2])
def test_the_shipped_model_gives_each_image_its_own_answer(
    serve: StartServer, grocery_bundle: Path, tmp_path: Path, workers: int | None
) -> None:
    server = started(serve, grocery_bundle, workers)
    held_against(server, tmp_path, "-k", "ultralytics_6174")


@pytest.mark.parametrize("workers", [None, 2])
def test_damaged_images_leave_no_memory_behind(
    serve: StartServer, fake_bundle: Path, workers: int | None
) -> None:
    """What is kept for good grows in steps, and then no more; a leak grows in every round."""
    server = started(serve, fake_bundle, workers, "--engine", "fake")
    service = processes(server.process.pid)
    requests = [post(damaged(name)) for name in SOME * 3]
    for kind in [*SOUND] * 10:
        exchange(server.url, post(sound(kind)))
    taken = [service.kilobytes()]
    while len(taken) < ROUNDS and (len(taken) < 2 or taken[-1] - taken[-2] >= LEFT):
        for request in requests:
            exchange(server.url, request)
        taken.append(service.kilobytes())
    assert taken[-1] - taken[-2] < LEFT, taken
    assert taken[-1] - taken[0] < KEPT, taken
