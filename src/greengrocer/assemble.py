"""The composition root: settings become a pipeline, a service, an app."""

import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from starlette.types import ASGIApp

from greengrocer.assemble_limits import (
    admission_limits,
    decode_limits,
    make_limiter,
    rates_of,
    threads_of,
    warn_of_limits,
)
from greengrocer.assemble_models import attempt_of, fetcher, loader
from greengrocer.datasets.gallery import Gallery, open_gallery
from greengrocer.serving.admission import Admission
from greengrocer.serving.classifier import Classifier, LocalClassifier
from greengrocer.serving.hang_watch import HUNG_GRACE
from greengrocer.serving.memory import return_large_blocks
from greengrocer.serving.models import Models
from greengrocer.serving.rate_limits import RateLimiter
from greengrocer.serving.readiness import Readiness
from greengrocer.serving.reloading.manager import ModelManager
from greengrocer.serving.reloading.origin import Origin
from greengrocer.serving.shadows import Shadows
from greengrocer.settings import Settings
from greengrocer.telemetry.metrics import Metrics
from greengrocer.telemetry.traces import start_traces
from greengrocer.web.access.access import Access
from greengrocer.web.access.keys import KeyFile
from greengrocer.web.app import create_app
from greengrocer.web.body.upload import UploadLimits
from greengrocer.web.service import Service
from greengrocer.web.wire.server import OtherServer


@dataclass(frozen=True)
class Assembled:
    """The finished application, and what its caller must close."""

    app: ASGIApp
    service: Service
    manager: ModelManager


def assemble(settings: Settings) -> Assembled:
    """Load, verify and warm the models that ``settings`` name, and build the application.

    A model that cannot be loaded is left out, unless it is the default: then it raises UsageError
    (BundleRefused, MissingExtra) in one line, as it does for DatasetUnusable.
    """
    return_large_blocks()
    gallery = open_gallery(settings.data, coarse=settings.coarse, exclude=settings.exclude)
    metrics = Metrics()
    fetch = fetcher(settings)
    load = loader(settings, metrics, fetch)
    first, *others = map(Origin.parsed, settings.bundles)
    default = load(first, True)
    threads = threads_of(settings, default.pipeline)
    models = Models(default.pipeline)
    patience = settings.request_timeout_seconds + HUNG_GRACE
    classifier = LocalClassifier(models, threads, patience)
    limits, on_bytes = admission_limits(settings, threads), metrics.upload_memory_bytes.set
    admission = Admission(limits, threads, default.seconds, on_bytes)
    service = make_service(
        settings, classifier, admission, gallery, metrics, make_limiter(rates_of(settings))
    )
    shadows = Shadows(models, metrics, classifier.run, classifier.idle)
    classifier.answered = shadows.offer
    manager = ModelManager(
        models,
        load,
        first,
        metrics,
        admission,
        attempt_of(settings),
        shadows=shadows,
        fetch=fetch,
    )
    for origin in others:
        manager.begin(origin)
    warn_of_limits(settings, models.catalogue)
    return Assembled(create_app(service), service, manager)


def make_service(
    settings: Settings,
    classifier: Classifier,
    admission: Admission,
    gallery: Gallery,
    metrics: Metrics,
    limiter: RateLimiter | None,
) -> Service:
    """The service object that the routes use; raises UsageError for what traces need."""
    traces = start_traces() if settings.traces else None
    if traces is not None:
        metrics.exemplar = traces.exemplar
    return Service(
        classifier=classifier,
        admission=admission,
        gallery=gallery,
        readiness=Readiness(),
        metrics=metrics,
        upload_limits=UploadLimits(
            settings.max_image_bytes,
            settings.upload_grace_seconds,
            settings.min_upload_bytes_per_second,
            settings.max_request_bytes,
            settings.max_request_images,
        ),
        decode_limits=decode_limits(settings),
        deadline=settings.request_timeout_seconds,
        access_log=settings.access_log,
        log_addresses=settings.log_addresses,
        access=Access(
            keys=_key_file(settings),
            limiter=limiter,
            rates=rates_of(settings),
            trusted_proxies=settings.trusted_proxies,
            root_path=settings.root_path,
            cors_origins=settings.cors_origins,
            metrics_port=settings.metrics_port,
        ),
        traces=traces,
    )


def make_rpc_server(
    settings: Settings,
    service: Service,
    listeners: list[socket.socket],
    directory: Path | None = None,
    around: Callable[[ASGIApp], ASGIApp] = lambda app: app,
) -> OtherServer | None:
    """The gRPC server of ``service``, None where it has no port; ``around`` adds a layer.

    It takes the last of ``listeners``: the others are of HTTP. ``directory`` is for its socket.
    """
    if settings.grpc_port is None:
        return None
    from greengrocer.rpc.app import create_rpc_app  # noqa: PLC0415  # an extra
    from greengrocer.rpc.gate import Timeouts  # noqa: PLC0415
    from greengrocer.rpc.server import RpcServer  # noqa: PLC0415

    return RpcServer(
        around(create_rpc_app(service)),
        service,
        listeners.pop(),
        directory,
        Timeouts(
            settings.keep_alive_timeout_seconds,
            settings.header_timeout_seconds,
            settings.send_timeout_seconds,
        ),
    )


def _key_file(settings: Settings) -> KeyFile | None:
    if settings.api_keys is None:
        return None
    # With workers the supervisor has checked the file. A later edit with a mistake must not stop a
    # new process from starting: the others continue with the keys from before.
    return KeyFile(settings.api_keys, patient=settings.workers is not None)
