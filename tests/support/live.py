"""The service in this process, on a real socket, with parts that a test chooses."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import httpx
from starlette.types import ASGIApp

from fake_engine import FakeEngine
from greengrocer.bundles.manifest import read_manifest
from greengrocer.datasets.gallery import Gallery
from greengrocer.engines.engine import ONE_THREAD, Engine, Inference
from greengrocer.imaging.decode import DecodeLimits
from greengrocer.imaging.geometry import Pixels
from greengrocer.pipeline import Pipeline
from greengrocer.ranking import ModelId, ModelLabels
from greengrocer.serving.admission import Admission, AdmissionLimits
from greengrocer.serving.classifier import LocalClassifier
from greengrocer.serving.models import Models
from greengrocer.serving.readiness import Readiness
from greengrocer.telemetry.metrics import Metrics
from greengrocer.web.app import create_app
from greengrocer.web.body.upload import UploadLimits
from greengrocer.web.service import Service
from greengrocer.web.wire.listener import bind
from greengrocer.web.wire.protocol import WireLimits
from greengrocer.web.wire.server import make_server
from support.waiting import SECONDS

MEGA = 1_000_000
E = TypeVar("E", bound=FakeEngine)


class FailingEngine(FakeEngine):
    """Raises an error whose text nobody outside may see."""

    SECRET = "/srv/secret/graph.onnx is broken"

    def infer(self, pixels: Pixels, alone: bool = False) -> Inference:
        """Fail."""
        del pixels, alone
        raise RuntimeError(self.SECRET)


def engine_of(kind: type[E], bundle: Path) -> E:
    """A fake engine, or a double of one, for ``bundle``."""
    return kind(bundle, read_manifest(bundle), "cpu", ONE_THREAD)


def make_service(bundle: Path, engine: Engine | None = None, threads: int = 1) -> Service:
    """A service with the usual limits; ``dataclasses.replace`` changes what a test needs."""
    manifest = read_manifest(bundle)
    metrics = Metrics(manifest.name, manifest.version)
    labels = ModelLabels(
        ModelId(manifest.name, manifest.version),
        manifest.classes,
        manifest.coarse,
        manifest.known_threshold,
    )
    engine = engine or engine_of(FakeEngine, bundle)
    limits = DecodeLimits()
    pipeline = Pipeline(engine, manifest.geometry, labels, limits, metrics)
    return Service(
        classifier=LocalClassifier(Models(pipeline), threads),
        admission=Admission(AdmissionLimits(256 * MEGA, 3.0), threads, 0.01),
        gallery=Gallery((), built_in=False),
        readiness=Readiness(),
        metrics=metrics,
        upload_limits=UploadLimits(20 * MEGA, 10, 8192),
        decode_limits=limits,
        deadline=SECONDS,
        access_log=False,
    )


def with_decode_limits(service: Service, limits: DecodeLimits) -> Service:
    """``service`` with other limits, before HTTP and in the pipeline."""
    assert isinstance(service.classifier, LocalClassifier)
    service.classifier.models.current.limits = limits
    return replace(service, decode_limits=limits)


@dataclass
class Live:
    """A service that is being served."""

    service: Service
    url: str

    def client(self) -> httpx.Client:
        """A client of it."""
        return httpx.Client(base_url=self.url, timeout=SECONDS)


@contextmanager
def live(service: Service, limits: WireLimits | None = None, drain: float = 30) -> Iterator[Live]:
    """Serve ``service`` from a thread; stopped, and its threads gone, at the end."""
    try:
        with served(create_app(service), service.readiness, limits, drain) as url:
            yield Live(service, url)
    finally:
        service.classifier.close()


@contextmanager
def served(
    app: ASGIApp, readiness: Readiness, limits: WireLimits | None = None, drain: float = 30
) -> Iterator[str]:
    """Serve ``app`` from a thread, at this URL."""
    listener = bind("127.0.0.1", 0)
    listener.listen()  # from here on a client waits where the server is not there yet
    server = make_server(
        app, [listener], readiness, 15, drain, limits or WireLimits(), spare_bytes=1 << 25
    )
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.handle_exit(signal.SIGTERM, None)
        thread.join(SECONDS)
    assert not thread.is_alive(), "the server did not stop"
