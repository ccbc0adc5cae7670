"""The commands work without the interfaces that only Linux has."""

import subprocess
import sys
from pathlib import Path

import pytest

from greengrocer.datasets.gallery import built_in_gallery
from support import elsewhere
from support.processes import alive, children
from support.servers import START_SECONDS, StartServer, clean_environment
from support.waiting import until

pytestmark = pytest.mark.leg("without Linux")

PICTURE = built_in_gallery().pictures[0].path


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        env=clean_environment() | elsewhere.environment(),
        check=False,
        timeout=START_SECONDS,
    )


def test_the_test_interpreter_lacks_what_only_linux_has() -> None:
    done = python(
        "-c",
        "import ctypes, os, sys;"
        "print(sys.platform, hasattr(os, 'sched_getaffinity'), hasattr(os, 'posix_fallocate'),"
        " hasattr(ctypes.CDLL(None), 'prctl'), hasattr(ctypes.CDLL(None), 'getpid'));"
        "open('/proc/self/cgroup')",
    )
    assert done.stdout.split() == ["darwin", "False", "False", "False", "True"]
    assert "FileNotFoundError" in done.stderr


def test_predict_names_an_image() -> None:
    done = python("-m", "greengrocer", "predict", "--bundle", "fast", str(PICTURE))
    assert done.returncode == 0, done.stderr
    assert PICTURE.stem in done.stdout


@pytest.mark.parametrize(
    "flags",
    [
        pytest.param((), id="one-process"),
        pytest.param(("--workers", "2"), id="workers", marks=pytest.mark.accept),
    ],
)
def test_the_service_answers_and_reloads(flags: tuple[str, ...], serve: StartServer) -> None:
    server = serve("--bundle", "fast", *flags, **elsewhere.environment())
    with server.client() as client:
        for _ in range(4):
            answer = client.post("/predict", files={"file": PICTURE.read_bytes()})
            assert answer.status_code == 200, answer.text
        assert "greengrocer_requests" in client.get("/metrics").text
    done = python("-m", "greengrocer", "reload", "--port", str(server.port))
    assert done.returncode == 0, done.stderr
    assert server.stop() == 0, "".join(server.log)


@pytest.mark.accept
def test_processes_end_with_their_supervisor(serve: StartServer, fake_bundle: Path) -> None:
    flags = ("--workers", "1", "--bundle", str(fake_bundle), "--engine", "fake")
    server = serve(*flags, **elsewhere.environment())
    both = children(server.process.pid)
    assert len(both) == 2
    server.process.kill()
    server.ended()
    until(lambda: not any(map(alive, both)), START_SECONDS)
