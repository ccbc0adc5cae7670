"""Reload the model of a running service: by command, by socket and by signal."""

import json
import os
import signal
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from greengrocer.bundles.manifest import MANIFEST, read_manifest, write_manifest
from greengrocer.errors import ControlRefused
from greengrocer.web.schemas import ClassNames, Prediction
from support.bundles import CLASSES, write_fake_bundle
from support.graphs import write_onnx_bundle
from support.make_images import jpeg
from support.orders import reload
from support.poison import environment as poison_environment
from support.poison.engine import SLOW_START
from support.processes import alive, tree
from support.processes import command as command_of
from support.scrapes import sample, scrape
from support.servers import Server, StartServer, clean_environment
from support.waiting import until

FEW = ("black", "grey", "white")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle that a test may change under the service."""
    return write_fake_bundle(tmp_path / "first")


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Another version, which has fewer classes."""
    return write_fake_bundle(tmp_path / "other", hierarchy=False, version="2", classes=FEW)


@pytest.fixture
def server(serve: StartServer, bundle: Path, runtime: Path) -> Server:
    flags = ("--bundle", str(bundle), "--engine", "fake", "--log-format", "json")
    return serve(*flags, XDG_RUNTIME_DIR=str(runtime))


def command(
    server: Server, runtime: Path, *flags: str, cwd: Path | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run the real command."""
    return subprocess.run(
        [sys.executable, "-m", "greengrocer", "reload", "--port", str(server.port), *flags],
        env=clean_environment() | {"XDG_RUNTIME_DIR": str(runtime)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=cwd,
    )


def version(client: httpx.Client) -> str:
    """The version that answers now, which the metrics name as well."""
    response = client.post("/predict", files={"file": jpeg(250)})
    told = Prediction.model_validate_json(response.content).model
    models = {dict(labels)["version"] for name, labels in scrape(client) if "model_info" in name}
    assert models == {told.version}
    return told.version


def logged(server: Server, event: str) -> list[dict[str, object]]:
    """The lines of one kind in a JSON log."""
    return [line for each in server.log if (line := json.loads(each))["event"] == event]


def test_the_command_swaps_the_model_and_rolls_back(
    server: Server, runtime: Path, other: Path
) -> None:
    with server.client() as client:
        assert version(client) == "1"
        done = command(server, runtime, "--bundle", other.name, cwd=other.parent)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == "now serving greys 2 (before: greys 1)\n"
        assert version(client) == "2"
        done = command(server, runtime, "--rollback")
        assert done.stdout == "now serving greys 1 (before: greys 2)\n"
        assert version(client) == "1"
        assert sample(scrape(client), "reloads_total", result="ok") == 2
    for event, old, new in (("reloaded", "1", "2"), ("rolled back", "2", "1")):
        (line,) = logged(server, event)
        assert (line["old"], line["new"]) == (f"greys {old}", f"greys {new}")


def test_classes_and_limits_are_those_of_the_model_that_serves(
    server: Server, runtime: Path, other: Path
) -> None:
    def names(client: httpx.Client) -> list[str]:
        return ClassNames.model_validate_json(client.get("/class-names").content).classes

    def listed(client: httpx.Client, query: str) -> int | None:
        response = client.post(f"/predict{query}", files={"file": jpeg(250)})
        if response.status_code == 422:
            assert response.json()["code"] == "parameter-out-of-range"
            return None
        return len(Prediction.model_validate_json(response.content).top)

    with server.client() as client:
        assert names(client) == list(CLASSES)
        assert client.get("/class-names?level=coarse").status_code == 200
        assert [listed(client, query) for query in ("", "?top=5", "?top=10")] == [5, 5, 10]
        assert reload(server, runtime, other)["ok"]
        assert names(client) == list(FEW)
        assert client.get("/class-names?level=coarse").status_code == 422
        assert [listed(client, query) for query in ("", "?top=3", "?top=5")] == [3, 3, None]


def test_a_bad_bundle_is_refused_in_one_line_and_the_old_one_keeps_serving(
    server: Server, runtime: Path, other: Path
) -> None:
    (other / "golden.jpg").write_bytes(jpeg(0))
    with server.client() as client:
        for bad, named in ((str(other), "golden.jpg"), ("no-such-bundle", "no-such-bundle")):
            done = command(server, runtime, "--bundle", bad)
            assert (done.returncode, done.stdout) == (2, "")
            assert len(done.stderr.splitlines()) == 1
            assert named in done.stderr
            assert version(client) == "1"
        done = command(server, runtime, "--rollback")
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
        assert sample(scrape(client), "reloads_total", result="refused") == 3
        assert sample(scrape(client), "reloads_total", result="ok") == 0
    refusals = logged(server, "reload refused") + logged(server, "rollback refused")
    assert ["golden.jpg" in str(line["reason"]) for line in refusals] == [True, False, False]
    assert "no previous model" in str(refusals[-1]["reason"])
    assert {line["serving"] for line in refusals} == {"greys 1"}


def test_sighup_reads_the_same_bundle_again(server: Server, bundle: Path) -> None:
    manifest = read_manifest(bundle)
    with server.client() as client:
        write_manifest(manifest.model_copy(update={"version": "1.1"}), bundle)
        server.process.send_signal(signal.SIGHUP)
        server.until_logged(lambda: logged(server, "reloaded"))
        assert version(client) == "1.1"
        (bundle / MANIFEST).write_text("{}")
        server.process.send_signal(signal.SIGHUP)
        server.until_logged(lambda: logged(server, "reload refused"))
        assert version(client) == "1.1"


def test_the_socket_is_private_and_removed_at_the_end(server: Server, runtime: Path) -> None:
    path = runtime / "greengrocer" / f"{server.port}.sock"
    assert stat.S_IMODE(path.lstat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.lstat().st_mode) == 0o700
    assert server.stop() == 0
    assert not path.exists()
    done = command(server, runtime)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "is a service running" in done.stderr


def test_each_of_two_services_has_its_own_socket(
    server: Server, serve: StartServer, bundle: Path, other: Path, runtime: Path
) -> None:
    flags = ("--bundle", str(bundle), "--engine", "fake")
    second = serve(*flags, XDG_RUNTIME_DIR=str(runtime))
    with server.client() as client, second.client() as second_client:
        assert reload(second, runtime, other)["ok"]
        assert (version(client), version(second_client)) == ("1", "2")
        assert second.stop() == 0
        assert reload(server, runtime, other)["ok"]
        assert version(client) == "2"


def test_a_socket_in_use_is_refused_and_a_stale_one_replaced(
    serve: StartServer, bundle: Path, runtime: Path
) -> None:
    path = runtime / "private" / "control.sock"
    flags = ("--bundle", str(bundle), "--engine", "fake", "--control-socket", str(path))
    first = serve(*flags)
    done = subprocess.run(
        [sys.executable, "-m", "greengrocer", "serve", "--port", "0", *flags],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "a running service uses it" in done.stderr
    first.process.kill()
    first.ended()
    assert path.exists()
    second = serve(*flags)
    done = command(second, runtime, "--control-socket", str(path))
    assert done.stdout == "now serving greys 1 (before: greys 1)\n"
    assert second.stop() == 0


def test_a_service_that_is_stopped_while_it_loads_ends_cleanly(
    serve: StartServer, bundle: Path, runtime: Path, other: Path
) -> None:
    flags = ("--bundle", str(bundle), "--engine", "fake")
    server = serve(*flags, XDG_RUNTIME_DIR=str(runtime), **poison_environment())
    slow = other / SLOW_START
    os.mkfifo(slow)  # whoever reads it waits for a writer

    def writing_end() -> int | None:
        try:
            return os.open(slow, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:  # nobody reads yet
            return None

    with ThreadPoolExecutor() as pool:
        asked = pool.submit(reload, server, runtime, other)
        try:
            writer = until(writing_end)
            server.process.send_signal(signal.SIGTERM)
            server.until_logged(
                lambda: [line for line in server.log if "Finished server process" in line]
            )
            os.close(writer)
            assert server.ended() == 0
        finally:
            server.process.kill()  # after a failure, too, nobody shall wait for it
        with suppress(ControlRefused):  # it is loaded in the very moment of the service's end
            asked.result()
    assert "Traceback" not in "".join(server.log)


@pytest.mark.accept
@pytest.mark.parametrize("flags", [(), ("--workers", "1")])
def test_a_service_that_is_stopped_twice_during_a_trial_ends_it_and_does_not_wait(
    serve: StartServer, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    server = serve("--bundle", str(write_onnx_bundle(tmp_path / "first")), *flags)

    def trial() -> int | None:
        pids = tree(server.process.pid)
        return next((pid for pid in pids if "greengrocer.cli.trial" in command_of(pid)), None)

    server.process.send_signal(signal.SIGHUP)
    pid = until(trial)
    os.kill(pid, signal.SIGSTOP)
    server.process.send_signal(signal.SIGINT)
    server.until_logged(lambda: [line for line in server.log if "stopping" in line])
    server.process.send_signal(signal.SIGINT)
    try:
        assert server.ended() == 0
        until(lambda: not alive(pid))
    finally:
        if alive(pid):
            os.kill(pid, signal.SIGKILL)
    assert "Traceback" not in "".join(server.log)
