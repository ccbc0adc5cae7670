"""The composition root of ``--workers``: the same parts, in several processes."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from greengrocer.assemble import (
    Starter,
    admission_limits,
    attempt_of,
    in_flight_bytes,
    make_limiter,
    make_service,
    rates_of,
    starter,
    threads_of,
)
from greengrocer.bundles.bundle import find_bundle, load_bundle
from greengrocer.datasets.gallery import open_gallery
from greengrocer.errors import BundleRefused
from greengrocer.pipeline import Pipeline
from greengrocer.serving.admission import Admission, AdmissionLimits
from greengrocer.serving.memory import return_large_blocks
from greengrocer.serving.reloading.models import Models
from greengrocer.serving.reloading.reload import Reloader
from greengrocer.serving.resources import picture_threads
from greengrocer.serving.workers.bundle_store import BundleStore
from greengrocer.serving.workers.engine import EngineServer
from greengrocer.serving.workers.remote import RemoteClassifier
from greengrocer.settings import Settings
from greengrocer.telemetry.metrics import Metrics
from greengrocer.web.service import Service

log = structlog.get_logger("greengrocer.engine")


@dataclass(frozen=True)
class AssembledEngine:
    """What the engine process runs, and what its caller must close."""

    server: EngineServer
    reloader: Reloader
    models: Models


def assemble_engine(settings: Settings, directory: Path) -> AssembledEngine:
    """Load, verify and warm the current model: the last one that was reloaded, or the first.

    Raises UsageError (BundleRefused, MissingExtra) in one line.
    """
    return_large_blocks()
    metrics = Metrics()
    store = BundleStore(directory)
    start = starter(settings, metrics)
    source, pipeline, service_seconds = _first(store, settings.bundle, start)
    metrics.serves(*pipeline.labels.model)
    models = Models(pipeline)
    threads = threads_of(settings, pipeline)
    admission = Admission(admission_limits(settings, threads), threads, service_seconds)
    limiter = make_limiter(rates_of(settings))
    server = EngineServer(models, admission, threads, settings.max_image_bytes, metrics, limiter)

    def load(source: str) -> Pipeline:
        bundle = load_bundle(find_bundle(source))
        pipeline, _ = start(bundle)
        try:
            store.stage(source, bundle)
        except BaseException:
            pipeline.close()
            raise
        return pipeline

    attempt = attempt_of(settings)
    reloader = Reloader(models, load, source, metrics, attempt, store.remember, server.announce)
    return AssembledEngine(server, reloader, models)


def _first(store: BundleStore, default: str, start: Starter) -> tuple[str, Pipeline, float]:
    """The last model that served, or ``default``: source, pipeline and service seconds."""
    serving = store.current
    if serving is not None and serving.copy is not None:
        try:
            bundle = load_bundle(serving.copy)
            return serving.source, *start(bundle)
        except BundleRefused as error:
            log.warning("the copy of the bundle is refused", reason=str(error))
    source = default if serving is None else serving.source
    bundle = load_bundle(find_bundle(source))
    pipeline, seconds = start(bundle)
    store.stage(source, bundle)
    with suppress(OSError):  # without it the next engine reads the bundle itself
        store.remember(source)
    return source, pipeline, seconds


def assemble_http(settings: Settings, classifier: RemoteClassifier) -> Service:
    """The service object that an HTTP process's routes use; raises UsageError (DatasetUnusable)."""
    assert settings.workers is not None
    return_large_blocks()
    threads = settings.threads or picture_threads()
    share = in_flight_bytes(settings, threads) // settings.workers
    # the engine process decides which images wait: it counts those of all processes
    admission = Admission(AdmissionLimits(share, wait_seconds=float("inf")), threads, 0.0)
    gallery = open_gallery(settings.data, coarse=settings.coarse, exclude=settings.exclude)
    limiter = classifier.limiter if rates_of(settings) else None
    return make_service(settings, classifier, admission, gallery, Metrics(), limiter)
