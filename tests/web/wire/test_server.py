"""When the process begins to listen, and how it ends."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from greengrocer.web.schemas import Prediction
from support.bundles import write_fake_bundle
from support.make_images import encoded, jpeg, photo
from support.servers import START_SECONDS, StartServer, clean_environment
from support.waiting import until
from support.wire import Wire, exchange, head, post, refused_connection

COMMAND = [sys.executable, "-m", "greengrocer", "serve"]
SLOW_START = """
import signal, sys
from greengrocer import assemble
from greengrocer.cli.main import main

def never_done(settings):
    print("starting", flush=True)
    while True:
        signal.pause()

assemble.assemble = never_done
sys.exit(main(sys.argv[1:]))
"""
INTERRUPTED = """
import os, signal, sys

class Interrupts:
    def find_spec(self, name, path, target=None):
        if name == module:
            os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)  # where no terminal is, it may be ignored
module = sys.argv.pop(1)
sys.meta_path.insert(0, Interrupts())
from greengrocer.__main__ import main
sys.exit(main())
"""


@pytest.fixture
def port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_a_refused_bundle_ends_the_start_in_one_line_and_opens_no_port(
    tmp_path: Path, port: int
) -> None:
    bundle = write_fake_bundle(tmp_path / "bundle")
    (bundle / "golden.jpg").write_bytes(jpeg(0))
    command = [*COMMAND, "--engine", "fake", "--bundle", str(bundle), "--port", str(port)]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=clean_environment()
    ) as process:
        while process.poll() is None:
            assert refused_connection(port)
        out, err = process.communicate(timeout=START_SECONDS)
    assert process.returncode == 2
    assert out == ""
    assert len(err.splitlines()) == 1, err
    assert "golden.jpg" in err


def test_a_port_in_use_is_named_in_one_line(fake_bundle: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [*COMMAND, "--engine", "fake", "--bundle", str(fake_bundle), "--port", port]
        done = subprocess.run(
            command, capture_output=True, text=True, env=clean_environment(), check=False
        )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert port in done.stderr


@contextmanager
def starting() -> "Iterator[subprocess.Popen[bytes]]":
    """A service that is in the midst of its start, and stays there."""
    command = [sys.executable, "-c", SLOW_START, "serve", "--port", "0"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, env=clean_environment()) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"starting\n"
        yield process


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_start_with_0(signum: signal.Signals) -> None:
    # As process 1 of a container it would not hear one that it has no handler for.
    with starting() as process:
        process.send_signal(signum)
        _, err = process.communicate(timeout=START_SECONDS)
    assert (process.returncode, err) == (0, b"")


def test_sighup_does_not_end_a_start() -> None:
    with starting() as process:
        process.send_signal(signal.SIGHUP)
        process.terminate()
        assert process.wait(START_SECONDS) == 0


@pytest.mark.parametrize(
    ("module", "code"),
    [("greengrocer.settings", 130), ("onnxruntime", 0), ("uvicorn", 0), ("uvloop", 0)],
)
def test_sigint_is_quiet_while_libraries_load(grocery_bundle: Path, module: str, code: int) -> None:
    flags = ("serve", "--port", "0", "--bundle", str(grocery_bundle))
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, module, *flags],
        capture_output=True,
        text=True,
        env=clean_environment(),
        check=False,
        timeout=START_SECONDS,
    )
    assert (done.returncode, done.stderr) == (code, "")


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_an_idle_server_with_0(
    serve: StartServer, fake_bundle: Path, signum: signal.Signals
) -> None:
    server = serve("--bundle", str(fake_bundle), "--engine", "fake")
    with Wire(server.url) as idle:
        assert idle.send(head("GET", "/livez")).answer().status == 200
        server.process.send_signal(signum)
        assert idle.closed()
    assert server.process.wait(START_SECONDS) == 0


def test_accepted_requests_are_finished_after_sigterm_even_on_sighup(
    serve: StartServer, fake_bundle: Path
) -> None:
    server = serve("--bundle", str(fake_bundle), "--engine", "fake")
    request = post(jpeg(250))
    with Wire(server.url) as wire:
        wire.send(request[:-1])
        with server.client() as client:  # behind it, so that the half request has been taken
            assert client.get("/livez").status_code == 200
        server.process.send_signal(signal.SIGTERM)
        until(lambda: refused_connection(server.port))
        server.process.send_signal(signal.SIGHUP)
        answer = wire.send(request[-1:]).answer()
        assert Prediction.model_validate_json(answer.body).prediction == "grey-9"
        assert answer.headers["connection"] == "close"
        assert wire.closed()
    assert server.stop() == 0
    assert not [line for line in server.log if "error" in line]


def test_a_signal_during_traffic_ends_with_0(serve: StartServer, fake_bundle: Path) -> None:
    server = serve(
        "--bundle", str(fake_bundle), "--engine", "fake", "--drain-timeout-seconds", "10"
    )
    picture = post(encoded(photo(1), "JPEG"))

    def send_until_refused(_: int) -> int:
        answers = 0
        try:
            while exchange(server.url, picture).status == 200:
                answers += 1
        except (OSError, AssertionError):  # closed before or while the head was sent
            pass
        return answers

    with ThreadPoolExecutor(4) as pool:
        answers = pool.map(send_until_refused, range(4))
        server.until_logged(lambda: len(server.log) > 50)
        assert server.stop() == 0
        assert sum(answers) > 40


def test_a_second_sigint_does_not_wait(serve: StartServer, fake_bundle: Path) -> None:
    flags = ("--upload-grace-seconds", "3600", "--drain-timeout-seconds", "3600")
    server = serve("--bundle", str(fake_bundle), "--engine", "fake", *flags)
    with Wire(server.url) as wire:
        wire.send(post(jpeg(250))[:-1])
        with server.client() as client:
            assert client.get("/livez").status_code == 200
        server.process.send_signal(signal.SIGINT)
        server.until_logged(
            lambda: [line for line in server.log if "Waiting for connections" in line]
        )
        server.process.send_signal(signal.SIGINT)
        assert server.ended() == 0
    assert "Traceback" not in "".join(server.log)
