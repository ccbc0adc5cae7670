"""Jumps of the wall clock by days affect no deadline, time-out or connection."""

import os
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from support.make_images import jpeg
from support.servers import StartServer
from support.wire import Wire, head, post

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
DAY = 86_400
DAYS = 3
LIVEZ = head("GET", "/livez")
PATIENT = (
    "--upload-grace-seconds",
    "60",
    "--keep-alive-timeout-seconds",
    "60",
    "--header-timeout-seconds",
    "60",
)


class WallClock:
    """The time of day as a process sees it."""

    def __init__(self, directory: Path) -> None:
        if not LIBRARIES and "REQUIRE_DEBIAN_PROGRAMS" not in os.environ:
            pytest.skip("needs libfaketime, from Debian's package faketime")
        self._file = directory / "clock"
        self.jump(0)

    def jump(self, days: int) -> None:
        """Shift the clock by ``days``."""
        self._file.write_text(f"{days * DAY:+d}s")

    @property
    def environment(self) -> dict[str, str]:
        """For the process."""
        return {
            "LD_PRELOAD": str(LIBRARIES[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }


@pytest.fixture
def clock(tmp_path: Path) -> WallClock:
    return WallClock(tmp_path)


def told(wire: Wire) -> float:
    """The time of day in an answer's Date header, in seconds."""
    date = wire.send(LIVEZ).answer().headers["date"]
    return parsedate_to_datetime(date).timestamp()


@pytest.mark.accept
@pytest.mark.parametrize("days", [DAYS, -DAYS])
@pytest.mark.parametrize("workers", [(), ("--workers", "1")], ids=["one process", "workers"])
def test_a_clock_jump_does_not_affect_open_connections(
    serve: StartServer, fake_bundle: Path, clock: WallClock, days: int, workers: tuple[str, ...]
) -> None:
    flags = ("--engine", "fake", "--bundle", str(fake_bundle), *PATIENT, *workers)
    server = serve(*flags, **clock.environment)
    request = post(jpeg(250), "X-Deadline-Ms: 60000")
    with Wire(server.url) as silent, Wire(server.url) as sending, Wire(server.url) as heading:
        before = told(silent)
        sending.send(request[:-1])
        heading.send(request[:20])
        told(silent)
        clock.jump(days)
        assert abs(told(silent) - before - days * DAY) < DAY  # it has jumped
        assert sending.send(request[-1:]).answer().status == 200
        assert heading.send(request[20:]).answer().status == 200
        assert silent.send(post(jpeg(250))).answer().status == 200
    assert server.stop() == 0


def test_a_clock_jump_backwards_does_not_extend_time_outs(
    serve: StartServer, fake_bundle: Path, clock: WallClock
) -> None:
    pace = (
        "--upload-grace-seconds",
        "1",
        "--header-timeout-seconds",
        "1",
        "--keep-alive-timeout-seconds",
        "1",
    )
    flags = ("--engine", "fake", "--bundle", str(fake_bundle), *pace)
    server = serve(*flags, **clock.environment)
    request = post(jpeg(250))
    with Wire(server.url) as silent, Wire(server.url) as sending, Wire(server.url) as heading:
        silent.send(LIVEZ).answer()
        sending.send(request[:-1])
        heading.send(request[:20])
        clock.jump(-DAYS)
        assert sending.answer().status == 408
        assert heading.answer().status == 408
        assert silent.closed()
