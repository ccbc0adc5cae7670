"""The composition root of ``--workers``: the same parts, in several processes."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from greengrocer.assemble import make_service
from greengrocer.assemble_limits import (
    admission_limits,
    in_flight_bytes,
    make_limiter,
    rates_of,
    shares_of,
    threads_of,
    warn_of_limits,
)
from greengrocer.assemble_models import Starter, attempt_of, fetcher, starter
from greengrocer.bundles.bundle import find_bundle, load_bundle
from greengrocer.datasets.gallery import open_gallery
from greengrocer.errors import BundleRefused
from greengrocer.serving.admission import Admission, AdmissionLimits
from greengrocer.serving.memory import return_large_blocks
from greengrocer.serving.models import Models
from greengrocer.serving.reloading.manager import Fetch, ModelManager
from greengrocer.serving.reloading.origin import Load, Loaded, Origin
from greengrocer.serving.reloading.serving_state import ServingState
from greengrocer.serving.resources import picture_threads
from greengrocer.serving.shadows import Shadows
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
    manager: ModelManager
    models: Models


def assemble_engine(settings: Settings, directory: Path) -> AssembledEngine:
    """Load, verify and warm the models: those that served last, or those of ``settings``.

    A model that cannot be loaded is left out, unless it is the default: then it raises UsageError
    (BundleRefused, MissingExtra) in one line.
    """
    return_large_blocks()
    metrics = Metrics()
    store = BundleStore(directory)
    fetch = fetcher(settings)
    load = _loader(store, starter(settings, metrics), fetch)
    before = store.serving
    first, others = _wanted(before, settings)
    default = load(first, True)
    models = Models(default.pipeline, first.label)
    threads = threads_of(settings, default.pipeline)
    admission = Admission(admission_limits(settings, threads), threads, default.seconds)
    limiter = make_limiter(rates_of(settings))
    server = EngineServer(models, admission, threads, settings.max_image_bytes, metrics, limiter)
    shadows = Shadows(models, metrics, server.run, server.idle)
    server.answered = shadows.offer
    manager = ModelManager(
        models,
        load,
        default.origin,
        metrics,
        admission,
        attempt_of(settings),
        store.remember,
        server.announce,
        shadows,
        fetch,
    )
    for origin in others:
        manager.begin(origin)
    if before is not None:
        manager.resume(before)
    warn_of_limits(settings, models.catalogue)
    with suppress(OSError):  # without it the next engine reads the bundles themselves
        store.remember(manager.state)
    return AssembledEngine(server, manager, models)


def _wanted(serving: ServingState | None, settings: Settings) -> tuple[Origin, list[Origin]]:
    """The default model and the others: those that served last, or those of ``settings``."""
    if serving is None:
        first, *others = map(Origin.parsed, settings.bundles)
        return first, others
    origins = {key: origins.current for key, origins in serving.models.items()}
    first = origins.pop(serving.default)
    # a version beside a model comes after the model
    return first, sorted(origins.values(), key=lambda origin: origin.label)


def _loader(store: BundleStore, start: Starter, fetch: Fetch) -> Load:
    """A function that loads a bundle, or the copy of it that the last engine had, and copies it."""

    def load(origin: Origin, default: bool) -> Loaded:
        if origin.copy is not None:
            try:
                return start(load_bundle(origin.copy), origin, default)
            except BundleRefused as error:
                log.warning("the copy of the bundle is refused", reason=str(error))
        bundle = load_bundle(find_bundle(fetch(origin.bundle)))
        loaded = start(bundle, origin, default)
        try:
            copy = store.stage(origin.bundle, bundle)
        except BaseException:
            loaded.pipeline.close()
            raise
        return loaded._replace(origin=origin._replace(copy=copy))

    return load


def assemble_http(settings: Settings, classifier: RemoteClassifier) -> Service:
    """The service object that an HTTP process's routes use; raises UsageError (DatasetUnusable)."""
    assert settings.workers is not None
    return_large_blocks()
    threads = settings.threads or picture_threads()
    share = in_flight_bytes(settings, threads) // settings.workers
    # the engine process decides which images wait: it counts those of all processes
    limits = AdmissionLimits(share, wait_seconds=float("inf"), shares=shares_of(settings))
    metrics = Metrics()
    admission = Admission(limits, threads, 0.0, metrics.upload_memory_bytes.set)
    gallery = open_gallery(settings.data, coarse=settings.coarse, exclude=settings.exclude)
    limiter = classifier.limiter if rates_of(settings) else None
    return make_service(settings, classifier, admission, gallery, metrics, limiter)
