"""The composition root of ``--workers``: the same parts, stood in several processes."""

from dataclasses import dataclass
from pathlib import Path

from greengrocer.assemble import (
    admission_limits,
    attempt_of,
    in_flight_bytes,
    loader,
    make_limiter,
    make_service,
    rates_of,
    threads_of,
)
from greengrocer.datasets.gallery import open_gallery
from greengrocer.serving.admission import Admission, AdmissionLimits
from greengrocer.serving.memory import return_large_blocks
from greengrocer.serving.reloading.models import Models
from greengrocer.serving.reloading.reload import Reloader
from greengrocer.serving.threads import picture_threads
from greengrocer.serving.workers.engine import EngineServer
from greengrocer.serving.workers.private import replace_privately
from greengrocer.serving.workers.remote import RemoteClassifier
from greengrocer.settings import MEGA, Settings
from greengrocer.telemetry.metrics import Metrics
from greengrocer.web.service import Service

SERVING = "serving"  # in the private directory: the bundle that serves, where it was changed


@dataclass(frozen=True)
class AssembledEngine:
    """What the engine process runs, and what must be closed behind it."""

    server: EngineServer
    reloader: Reloader
    models: Models


def assemble_engine(settings: Settings, directory: Path) -> AssembledEngine:
    """Load, verify and warm the model that serves by now.

    Raises UsageError (BundleRefused, MissingExtra) in one line.
    """
    return_large_blocks()
    metrics = Metrics()
    file = directory / SERVING
    source = file.read_text() if file.exists() else settings.bundle
    load = loader(settings, metrics)
    pipeline, service_seconds = load(source)
    metrics.serves(*pipeline.labels.model)
    models = Models(pipeline)
    threads = threads_of(settings, pipeline)
    admission = Admission(admission_limits(settings, threads), threads, service_seconds)
    picture_bytes = int(settings.max_megabytes * MEGA)
    limiter = make_limiter(rates_of(settings))
    server = EngineServer(models, admission, threads, picture_bytes, metrics, limiter)

    def remember(source: str) -> None:
        replace_privately(file, source)  # for the engine after this one

    attempt = attempt_of(settings)
    reloader = Reloader(
        models, lambda source: load(source)[0], source, metrics, attempt, remember, server.announce
    )
    return AssembledEngine(server, reloader, models)


def assemble_http(settings: Settings, classifier: RemoteClassifier) -> Service:
    """What the routes of an HTTP process need; raises UsageError (DatasetUnusable)."""
    assert settings.workers is not None
    return_large_blocks()
    threads = settings.threads or picture_threads()
    share = in_flight_bytes(settings, threads) // settings.workers
    # the engine decides who waits: it alone knows of all pictures
    admission = Admission(AdmissionLimits(share, wait_seconds=float("inf")), threads, 0.0)
    gallery = open_gallery(settings.data)
    limiter = classifier.limiter if rates_of(settings) else None
    return make_service(settings, classifier, admission, gallery, Metrics(), limiter)
