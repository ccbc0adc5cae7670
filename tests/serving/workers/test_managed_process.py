"""When a process is started again, after which pause, and when the supervisor gives up."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from greengrocer.serving.workers import managed_process
from greengrocer.serving.workers.managed_process import GaveUp, ManagedProcess, ProcessSpec
from greengrocer.serving.workers.runtime_directory import METRICS
from greengrocer.serving.workers.supervisor_channel import MESSAGE, SupervisorMessage
from support.waiting import SECONDS

pytestmark = pytest.mark.anyio

REPORT = f"""
import os, socket, sys
channel = socket.socket(fileno=int(sys.argv[1]))
channel.sendall({MESSAGE.pack(SupervisorMessage.READY, 0.0)!r})
"""
EXIT, CRASH = "raise SystemExit(1)", "import os; os.kill(os.getpid(), 9)"


class Unpaused(ManagedProcess):
    """A process whose pauses are noted, not waited for. It is stopped after ``most`` deaths."""

    def __init__(self, program: str, directory: Path, most: int) -> None:
        (directory / METRICS).mkdir()
        command = [sys.executable, "-c", program]
        super().__init__(
            ProcessSpec("http", "http0", command, [], directory, dict(os.environ)), lambda *_: None
        )
        self.most = most
        self.starts = 0
        self.pauses: list[float] = []

    async def _run(self) -> int:
        self.starts += 1
        code = await super()._run()
        if self.starts == self.most:
            self.stop(9)
        return code

    async def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)


@pytest.mark.parametrize("report", ["", REPORT], ids=["before READY", "after READY"])
async def test_a_process_that_fails_at_each_start_is_given_up(report: str, tmp_path: Path) -> None:
    process = Unpaused(report + EXIT, tmp_path, most=50)
    with pytest.raises(GaveUp) as gave_up:
        await asyncio.wait_for(process.keep_running(), SECONDS)
    assert gave_up.value.code == 1
    assert process.starts == 5
    assert process.pauses == [0.2, 0.4, 0.8]


async def test_a_process_that_crashes_before_it_is_ready_is_given_up(tmp_path: Path) -> None:
    process = Unpaused(CRASH, tmp_path, most=50)
    with pytest.raises(GaveUp):
        await asyncio.wait_for(process.keep_running(), SECONDS)
    assert process.starts == 5


async def test_crashes_after_a_start_are_followed_by_pauses_and_never_given_up(
    tmp_path: Path,
) -> None:
    process = Unpaused(REPORT + CRASH, tmp_path, most=8)
    await asyncio.wait_for(process.keep_running(), SECONDS)
    assert process.starts == 8
    assert process.pauses == [0.2, 0.4, 0.8, 1.6, 1.6, 1.6]


async def test_a_process_that_has_lived_for_a_time_is_replaced_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(managed_process, "STEADY_SECONDS", 0.0)
    process = Unpaused(REPORT + EXIT, tmp_path, most=8)
    await asyncio.wait_for(process.keep_running(), SECONDS)
    assert process.starts == 8
    assert process.pauses == []
