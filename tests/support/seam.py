"""Both ends of the link between processes, in one event loop over a real Unix socket."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fake_engine import FakeEngine
from greengrocer.imaging.decode import DecodeLimits
from greengrocer.pipeline import Pipeline
from greengrocer.ranking import ModelId, ModelLabels
from greengrocer.serving.admission import Admission, AdmissionLimits
from greengrocer.serving.catalogue import Catalogue, ServedModel
from greengrocer.serving.frames.frames import Begun, Cancel, Classify, Described, Failed
from greengrocer.serving.frames.stream import FrameStream, encode
from greengrocer.serving.models import Models
from greengrocer.serving.rate_limits import LocalRateLimiter
from greengrocer.serving.workers.engine import EngineServer
from greengrocer.serving.workers.remote import RemoteClassifier
from greengrocer.serving.workers.runtime_directory import listen_privately
from greengrocer.telemetry.metrics import Metrics
from support.engines import HeldEngine
from support.live import engine_of

HANG = 60.0
MAX_IMAGE_BYTES = 1 << 20
ROOMY = AdmissionLimits(1 << 30, 60.0)


def pipeline_of(engine: FakeEngine, version: str = "1") -> Pipeline:
    manifest = engine.manifest
    labels = ModelLabels(ModelId("greys", version), manifest.classes, manifest.coarse, 0.5)
    return Pipeline(engine, manifest.geometry, labels, DecodeLimits())


@dataclass
class Pair:
    """An engine's server and a classifier that is connected to it."""

    server: EngineServer
    remote: RemoteClassifier
    suspicions: list[float] = field(default_factory=list)


@asynccontextmanager
async def pair(
    directory: Path,
    engine: FakeEngine,
    limits: AdmissionLimits = ROOMY,
    limiter: LocalRateLimiter | None = None,
) -> AsyncIterator[Pair]:
    path = directory / "engine.sock"
    admission = Admission(limits, 1, 0.01)
    models = Models(pipeline_of(engine))
    server = EngineServer(models, admission, 1, MAX_IMAGE_BYTES, Metrics(), limiter)
    suspicions: list[float] = []
    remote = RemoteClassifier(path, lambda: suspicions.append(server.hopeless()))
    with listen_privately(path) as listener:
        await server.start(listener)
        async with asyncio.timeout(HANG):
            await remote.start()
        try:
            yield Pair(server, remote, suspicions)
        finally:
            if isinstance(engine, HeldEngine):
                engine.release.set()
            remote.close()
            server.stop()
            await asyncio.sleep(0)


async def until(ask: Callable[[], object]) -> None:
    async with asyncio.timeout(HANG):
        while not ask():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


class ScriptedEngine:
    """Takes one connection after the other on ``listener``, as the test says."""

    def __init__(self, listener: socket.socket, labels: ModelLabels) -> None:
        self.listener = listener
        self.catalogue = Catalogue((ServedModel(labels.model.name, labels),), labels.model.name)

    async def accept(self) -> None:
        loop = asyncio.get_running_loop()
        self.listener.setblocking(False)
        async with asyncio.timeout(HANG):
            self.client, _ = await loop.sock_accept(self.listener)
        self.client.setblocking(False)
        self.stream = FrameStream((Classify, Cancel), MAX_IMAGE_BYTES)

    async def describe(self) -> None:
        await asyncio.get_running_loop().sock_sendall(
            self.client, encode(Described(self.catalogue))
        )

    async def receive(self, count: int) -> list[Classify]:
        frames: list[Classify] = []
        async with asyncio.timeout(HANG):
            while len(frames) < count:
                data = await asyncio.get_running_loop().sock_recv(self.client, 1 << 16)
                assert data
                frames += [f for f in self.stream.feed(data) if isinstance(f, Classify)]
        return frames

    async def begin(self, number: int) -> None:
        await asyncio.get_running_loop().sock_sendall(self.client, encode(Begun(number)))

    async def fail(self, number: int) -> None:
        await asyncio.get_running_loop().sock_sendall(self.client, encode(Failed(number)))

    def crash(self) -> None:
        self.client.close()


@asynccontextmanager
async def scripted(
    directory: Path, fake_bundle: Path
) -> AsyncIterator[tuple[ScriptedEngine, RemoteClassifier]]:
    path = directory / "engine.sock"
    with listen_privately(path) as listener:
        assert path.stat().st_mode & 0o777 == 0o600
        engine = ScriptedEngine(listener, pipeline_of(engine_of(FakeEngine, fake_bundle)).labels)
        remote = RemoteClassifier(path, lambda: None)
        starting = asyncio.create_task(remote.start())
        await engine.accept()
        await engine.describe()
        await starting
        try:
            yield engine, remote
        finally:
            remote.close()
            engine.crash()
            await asyncio.sleep(0)
