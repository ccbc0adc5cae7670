"""When the supervisor asks an engine that is suspected, and what it does with the answer."""

import asyncio
import math
import signal
from pathlib import Path

import pytest

from greengrocer.serving.workers import supervisor as module
from greengrocer.serving.workers.managed_process import ManagedProcess, ProcessSpec
from greengrocer.serving.workers.supervisor import Supervisor
from greengrocer.serving.workers.supervisor_channel import SupervisorMessage

pytestmark = pytest.mark.anyio
MANY = 100


class AskedEngine(ManagedProcess):
    """Notes what it is asked and told; the test answers."""

    pid = 1

    def __init__(self, supervisor: Supervisor) -> None:
        super().__init__(supervisor.engine.spec, supervisor.engine.receive)
        self.ready = True
        self.asked = asyncio.Semaphore(0)
        self.questions = 0
        self.killed = False

    def send(self, message: SupervisorMessage) -> None:
        assert message is SupervisorMessage.HEALTH
        self.questions += 1
        self.asked.release()

    def signal(self, signum: int) -> None:
        assert signum == signal.SIGKILL
        self.killed = True

    def suspected(self, times: int) -> None:
        for _ in range(times):
            self.receive(SupervisorMessage.SUSPICION, 0.0)

    def answer(self, seconds: float) -> None:
        self.receive(SupervisorMessage.HEALTHY, seconds)


@pytest.fixture
def supervisor(tmp_path: Path) -> Supervisor:
    return Supervisor(ProcessSpec("engine", "engine", (), (), tmp_path, {}), (), (), 1.0)


@pytest.fixture
async def engine(supervisor: Supervisor) -> AskedEngine:
    supervisor.engine = engine = AskedEngine(supervisor)
    return engine


async def test_many_suspicions_are_one_question_and_the_next_waits(
    engine: AskedEngine, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 3600)
    engine.suspected(MANY)
    await engine.asked.acquire()
    engine.answer(-math.inf)
    for _ in range(MANY):
        await asyncio.sleep(0)
        engine.suspected(1)
    assert engine.questions == 1
    assert supervisor._check
    supervisor._check.cancel()


async def test_a_suspicion_soon_after_an_answer_is_looked_into_later(
    engine: AskedEngine, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    engine.suspected(1)
    await engine.asked.acquire()
    engine.answer(-math.inf)
    engine.suspected(1)
    await engine.asked.acquire()
    engine.answer(-5.0)  # a thread is late
    await engine.asked.acquire()
    assert not engine.killed
    engine.answer(0.0)
    assert supervisor._check
    await supervisor._check
    assert engine.killed


@pytest.mark.parametrize("died", [False, True])
async def test_no_answer_ends_the_engine_that_was_asked_and_not_the_next_one(
    engine: AskedEngine, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, died: bool
) -> None:
    monkeypatch.setattr(module, "HEALTH_SECONDS", 1)
    monkeypatch.setattr(module, "LOOK_SECONDS", 0)
    engine.suspected(1)
    await engine.asked.acquire()
    if died:
        engine.pid = 2
    assert supervisor._check
    await supervisor._check
    assert engine.killed is not died
