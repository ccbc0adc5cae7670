"""gRPC of the real command: one process, several, its port, its stop, and without its extra."""

import logging
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc
import pytest
from grpc import StatusCode
from grpc._cython import cygrpc  # type: ignore[attr-defined]

from greengrocer.rpc.log_filter import LOGGER, filter_log
from greengrocer.rpc.messages.open_inference_pb2 import (
    RepositoryIndexRequest,
    RepositoryIndexResponse,
)
from greengrocer.web.wire.listener import bind
from support import without_grpc
from support.bundles import write_fake_bundle
from support.make_images import jpeg
from support.plugins import python_path
from support.processes import children
from support.rpc import RpcClient, address_of, files
from support.servers import StartServer, clean_environment
from support.waiting import SECONDS, until

in_all_arrangements = pytest.mark.parametrize(
    "workers", [(), ("--workers", "2")], ids=["one process", "workers"]
)


@in_all_arrangements
def test_models_and_versions_answer_by_name(
    serve: StartServer, fake_bundle: Path, tmp_path: Path, workers: tuple[str, ...]
) -> None:
    second = write_fake_bundle(tmp_path / "second", version="2")
    flags = ["--bundle", str(fake_bundle), "--bundle", f"shop={second}", "--engine", "fake"]
    server = serve(*flags, "--grpc-port", "0", *workers)
    with RpcClient(address_of(server, 2 if workers else 1)) as client:
        index = client.call("RepositoryIndex", RepositoryIndexRequest(), RepositoryIndexResponse)
        assert [(model.name, model.version, model.state) for model in index.models] == [
            ("greys", "1", "READY"),
            ("shop", "2", "READY"),
        ]
        assert client.infer(files(jpeg(5), model="shop", model_version="2")).model_version == "2"
        assert client.infer(files(jpeg(5))).model_name == "greys"
        end = client.refused(files(jpeg(5), model="shop", model_version="1"))
        assert end.code is StatusCode.NOT_FOUND
        assert client.health("shop") == 1


def test_every_worker_answers_and_a_dead_one_is_replaced(
    serve: StartServer, fake_bundle: Path
) -> None:
    flags = ["--bundle", str(fake_bundle), "--engine", "fake", "--workers", "2"]
    server = serve(*flags, "--grpc-port", "0")
    where = address_of(server, 2)
    before = set(children(server.process.pid))
    worker = max(before)  # the engine is started first
    subprocess.run(["kill", "-KILL", str(worker)], check=True)
    assert address_of(server, 3) == where

    def answered() -> bool:
        with RpcClient(where) as client:
            return client.infer(files(jpeg(5))).model_name == "greys"

    assert all(answered() for _ in range(8))  # connections are shared out by chance


@in_all_arrangements
def test_calls_in_flight_are_finished_when_the_service_stops(
    serve: StartServer, fake_bundle: Path, workers: tuple[str, ...]
) -> None:
    flags = ["--bundle", str(fake_bundle), "--engine", "fake", "--drain-delay-seconds", "0.5"]
    server = serve(*flags, "--grpc-port", "0", *workers)
    where = address_of(server, 2 if workers else 1)
    with RpcClient(where) as client:
        assert client.health() == 1
        images = [jpeg(level) for level in range(0, 250, 25)]
        call = client.begin(files(*images * 10))
        server.process.send_signal(signal.SIGTERM)
        assert call.result(SECONDS)
        assert server.ended() == 0
        end = client.refused(files(jpeg(5)))
        assert end.code is StatusCode.UNAVAILABLE
    assert "Traceback" not in "".join(server.log)


def test_while_draining_the_health_says_so_and_calls_are_answered(
    serve: StartServer, fake_bundle: Path
) -> None:
    flags = ["--bundle", str(fake_bundle), "--engine", "fake", "--drain-delay-seconds", "3600"]
    server = serve(*flags, "--grpc-port", "0")
    with RpcClient(address_of(server)) as client:
        server.process.send_signal(signal.SIGTERM)
        until(lambda: client.health() == 2)
        assert client.infer(files(jpeg(5)))
        server.process.send_signal(signal.SIGTERM)
        assert server.ended() == 0


def run_serve(bundle: Path, *flags: str, **environment: str) -> tuple[int, str]:
    """The exit code and the error of a start that must fail."""
    done = subprocess.run(
        [sys.executable, "-m", "greengrocer", "serve", "--port", "0", "--bundle", bundle, *flags],
        capture_output=True,
        text=True,
        env=clean_environment() | environment,
        check=False,
        timeout=SECONDS,
    )
    return done.returncode, done.stderr


@in_all_arrangements
def test_a_port_that_is_in_use_is_refused(fake_bundle: Path, workers: tuple[str, ...]) -> None:
    with bind("127.0.0.1", 0) as taken:
        taken.listen()
        port = str(taken.getsockname()[1])
        code, error = run_serve(fake_bundle, "--grpc-port", port, *workers)
    assert code == 2
    assert f"cannot listen on 127.0.0.1:{port}" in error


FAILS = """
import sys
if "http" in sys.orig_argv:
    from greengrocer.rpc.server import RpcServer

    async def fail(self, received):
        raise RuntimeError("no gRPC here")

    RpcServer.start = fail
"""


@pytest.mark.accept
def test_a_process_whose_gRPC_fails_to_start_serves_nothing_and_is_given_up(  # noqa: N802
    fake_bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(FAILS)
    flags = ("--engine", "fake", "--workers", "1", "--grpc-port", "0")
    code, log = run_serve(fake_bundle, *flags, **python_path(tmp_path))
    assert code == 1
    assert log.count("RuntimeError: no gRPC here") == log.count("died") == 5
    assert "giving up" in log
    assert " serving " not in log


@in_all_arrangements
def test_two_services_do_not_share_a_port(
    serve: StartServer, fake_bundle: Path, workers: tuple[str, ...]
) -> None:
    flags = ["--bundle", str(fake_bundle), "--engine", "fake"]
    server = serve(*flags, "--grpc-port", "0", *workers)
    port = address_of(server, 2 if workers else 1).rpartition(":")[2]
    code, error = run_serve(fake_bundle, "--grpc-port", port, *workers)
    assert (code, "cannot listen" in error) == (2, True)


@in_all_arrangements
def test_a_path_too_long_for_a_socket_is_refused(
    fake_bundle: Path, tmp_path: Path, workers: tuple[str, ...]
) -> None:
    long = tmp_path / ("x" * 60)
    long.mkdir()
    code, error = run_serve(fake_bundle, "--grpc-port", "0", *workers, TMPDIR=str(long))
    assert (code, "TMPDIR" in error, "Traceback" in error) == (2, True, False)


def test_a_directory_may_have_any_characters(serve: StartServer, fake_bundle: Path) -> None:
    with TemporaryDirectory(prefix="a%41 ?#é") as directory:
        flags = ["--bundle", str(fake_bundle), "--engine", "fake", "--grpc-port", "0"]
        server = serve(*flags, TMPDIR=directory)
        with RpcClient(address_of(server)) as client:
            assert client.health() == 1


def test_a_socket_that_is_removed_is_told_once(serve: StartServer, fake_bundle: Path) -> None:
    with TemporaryDirectory() as directory:
        flags = ["--bundle", str(fake_bundle), "--engine", "fake", "--grpc-port", "0"]
        server = serve(*flags, TMPDIR=directory)
        (ours,) = Path(directory).glob("grpc-*")
        shutil.rmtree(ours)
        for _ in range(3):
            with RpcClient(address_of(server)) as client:
                assert client.refused(files(jpeg(5))).code is StatusCode.UNAVAILABLE
        assert server.stop() == 0
    (line,) = (line for line in server.log if "cannot connect clients to gRPC" in line)
    assert "warning" in line
    assert "No such file or directory" in line
    assert "restart the service" in line


def test_without_a_directory_to_write_to_the_start_is_refused(
    fake_bundle: Path, tmp_path: Path
) -> None:
    nowhere = "import tempfile; tempfile._candidate_tempdir_list = lambda: ['/nowhere']"
    (tmp_path / "sitecustomize.py").write_text(nowhere)
    code, error = run_serve(fake_bundle, "--grpc-port", "0", **python_path(tmp_path))
    assert (code, "TMPDIR" in error, "Traceback" in error) == (2, True, False)


@in_all_arrangements
def test_nothing_is_left_in_the_directory_for_temporary_files(
    serve: StartServer, fake_bundle: Path, workers: tuple[str, ...]
) -> None:
    with TemporaryDirectory() as directory:  # pytest's own are too long for a socket
        flags = ["--bundle", str(fake_bundle), "--engine", "fake", "--grpc-port", "0"]
        server = serve(*flags, *workers, TMPDIR=directory)
        with RpcClient(address_of(server, 2 if workers else 1)) as client:
            assert client.health() == 1
            server.process.send_signal(signal.SIGTERM)
            assert server.ended() == 0
        assert not list(Path(directory).rglob("grpc-*"))


def test_without_the_extra_the_start_says_how_to_get_it(fake_bundle: Path) -> None:
    environment = without_grpc.environment()
    code, error = run_serve(fake_bundle, "--grpc-port", "0", **environment)
    assert code == 2
    assert "pip install 'greengrocer[grpc]'" in error


@in_all_arrangements
def test_a_protobuf_that_does_not_fit_is_told_in_one_line(
    fake_bundle: Path, workers: tuple[str, ...], tmp_path: Path
) -> None:
    older = "from google.protobuf import runtime_version; runtime_version.MAJOR = 5"
    (tmp_path / "sitecustomize.py").write_text(older)
    code, error = run_serve(fake_bundle, "--grpc-port", "0", *workers, **python_path(tmp_path))
    (line,) = error.splitlines()
    assert code == 2
    assert "the extra 'grpc' is installed but cannot be loaded" in line
    assert "runtime 5." in line
    assert "pip install 'greengrocer[grpc]' PACKAGE" in line
    assert "in a clone: .venv/bin/pip install -e '.[grpc]' PACKAGE" in line


def test_a_service_without_gRPC_loads_none_of_it(  # noqa: N802
    serve: StartServer, fake_bundle: Path
) -> None:
    server = serve("--bundle", str(fake_bundle), "--engine", "fake", **without_grpc.environment())
    with server.client() as client:
        assert client.post("/predict", files={"file": jpeg(5)}).status_code == 200


def test_gRPC_writes_nothing_of_its_own_to_the_log(  # noqa: N802
    serve: StartServer, fake_bundle: Path
) -> None:
    server = serve("--bundle", str(fake_bundle), "--engine", "fake", "--grpc-port", "0")
    where = address_of(server)
    with RpcClient(where) as client:
        ask: Any = client.channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        with pytest.raises(grpc.RpcError):
            ask(files(jpeg(5)).SerializeToString(), compression=grpc.Compression.Gzip)
        assert client.infer(files(jpeg(5)))
    assert server.stop() == 0
    assert not [line for line in server.log if not re.match(r"\d{4}-\d\d-\d\dT", line)]


def test_a_client_that_disconnects_early_leaves_no_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    filter_log()
    logger = logging.getLogger(LOGGER)  # as the library logs it
    for error, logged in ((cygrpc.ExecuteBatchError("batch"), 0), (ValueError("x"), 1)):
        caplog.clear()
        logger.error("raised in core", exc_info=error)
        assert len(caplog.records) == logged
