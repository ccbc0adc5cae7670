"""What the watchdog ends, and what it does not, in a process of its own."""

import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.leg("kills")

SCRIPT = """\
import asyncio, time
from greengrocer.serving.workers.watchdog import Watchdog

async def app(scope, receive, send):
    {request}

async def main():
    await Watchdog({seconds}).over(app)({{}}, None, None)
    {after}

asyncio.run(main())
"""


def exit_code(seconds: float, request: str, after: str = "pass") -> int:
    script = SCRIPT.format(seconds=seconds, request=request, after=after)
    return subprocess.run([sys.executable, "-c", script], check=False, timeout=60).returncode


@pytest.mark.parametrize("hangs", ["time.sleep(3600)", "while True: pass"])
def test_an_event_loop_blocked_by_a_request_ends_the_process(hangs: str) -> None:
    assert exit_code(0.5, hangs) == -signal.SIGALRM


@pytest.mark.accept
def test_a_slow_request_does_not_end_the_process() -> None:
    assert exit_code(3, "await asyncio.sleep(9)") == 0


@pytest.mark.accept
def test_an_idle_process_is_neither_ended_nor_woken() -> None:
    left = "assert not asyncio.get_running_loop()._scheduled"
    assert exit_code(3, "pass", f"await asyncio.sleep(3); time.sleep(6); {left}") == 0
