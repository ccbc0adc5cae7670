"""Copies for a comparison in the engine: never beside a suspect, and noticed where they hang."""

import asyncio
import math
import threading
from functools import partial
from pathlib import Path

import httpx
import pytest

from greengrocer.context import Context
from greengrocer.ranking import DEFAULT_OPTIONS
from greengrocer.serving.admission import Admission
from greengrocer.serving.frames.frames import Classify
from greengrocer.serving.models import Models
from greengrocer.serving.served import Served, serve
from greengrocer.serving.workers.engine import FAR_PAST, EngineServer
from greengrocer.telemetry.metrics import Metrics
from support.bundles import write_fake_bundle
from support.commands import run
from support.engines import CountingEngine
from support.live import engine_of
from support.make_images import jpeg
from support.poison.engine import BESIDE, HANGS_BESIDE
from support.seam import HANG, ROOMY, pipeline_of, until
from support.waiting import until as wait_until
from support.workers import StartWorkers

IMAGE = jpeg(250)


@pytest.fixture
def server(fake_bundle: Path) -> EngineServer:
    models = Models(pipeline_of(engine_of(CountingEngine, fake_bundle)))
    return EngineServer(models, Admission(ROOMY, 2, 0.01), 2, 1 << 20, Metrics())


class Copy:
    """Work that ends when the test says so."""

    def __init__(self, server: EngineServer) -> None:
        self.begun, self.release = threading.Event(), threading.Event()
        self.work = partial(serve, server.models, IMAGE, Context(), DEFAULT_OPTIONS)

    def __call__(self) -> Served:
        self.begun.set()
        assert self.release.wait(HANG)
        return self.work()


@pytest.mark.anyio
async def test_a_suspect_waits_for_a_copy_and_a_copy_for_a_suspect(server: EngineServer) -> None:
    first, second = Copy(server), Copy(server)
    running = asyncio.create_task(server.run(first, Context()))
    assert await asyncio.to_thread(first.begun.wait, HANG)
    begun: list[bool] = []
    frame = Classify.of(1, IMAGE, DEFAULT_OPTIONS, Context(), suspect=True)

    def note() -> None:
        begun.append(second.begun.is_set())

    suspect = asyncio.create_task(server.serve(frame, Context(), note))
    await until(lambda: server.lock._writers)
    waiting = asyncio.create_task(server.run(second, Context()))
    await until(lambda: server.lock._readers)
    assert not begun
    second.release.set()
    first.release.set()
    await asyncio.gather(running, suspect, waiting)
    assert begun == [False]
    server.stop()


@pytest.mark.anyio
async def test_a_copy_that_works_far_past_its_deadline_has_the_engine_looked_at(
    server: EngineServer,
) -> None:
    suspected: list[float] = []
    server.suspect = lambda: suspected.append(server.hopeless())
    copy = Copy(server)
    assert server.hopeless() == -math.inf
    running = asyncio.create_task(server.run(copy, Context(seconds=-FAR_PAST)))
    await until(lambda: suspected)
    assert suspected[0] > 0
    copy.release.set()
    await running
    assert server.hopeless() == -math.inf
    server.stop()


@pytest.mark.accept
@pytest.mark.leg("kills")
def test_an_engine_whose_copy_hangs_is_replaced_by_one_without_copies(
    supervise: StartWorkers, tmp_path: Path, runtime: Path
) -> None:
    control = ("--control-socket", str(runtime / "greengrocer.sock"))
    workers = supervise(1, *control)
    beside = write_fake_bundle(tmp_path / "beside", version=BESIDE)
    assert run("models", "load", f"greys@next={beside}", *control).returncode == 0
    assert run("models", "shadow", "greys@next", "100%", *control).returncode == 0
    engine = workers.engine
    answer = httpx.post(f"{workers.url}/predict", content=jpeg(HANGS_BESIDE), timeout=60)
    assert answer.status_code == 200
    wait_until(partial(workers.lost, engine))
    wait_until(workers.ready)
    assert [line for line in workers.server.log if "the engine hangs" in line]
    assert [line for line in workers.server.log if "shadow ended" in line and "greys@next" in line]
    engine = workers.engine
    answer = httpx.post(f"{workers.url}/predict", content=jpeg(HANGS_BESIDE), timeout=60)
    assert answer.status_code == 200
    assert run("models", "compare", *control).stdout == "no version gets copies\n"
    assert workers.engine == engine
