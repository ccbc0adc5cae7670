"""The composition root: settings become a pipeline, a service, an app."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Protocol

import structlog
from starlette.types import ASGIApp

from greengrocer.assemble_pipeline import build_pipeline
from greengrocer.bundles.bundle import Bundle, find_bundle, load_bundle
from greengrocer.context import Context
from greengrocer.datasets.gallery import Gallery, open_gallery
from greengrocer.engines.batcher import Batcher, BatchLimits
from greengrocer.engines.engine import Engine
from greengrocer.engines.shared import SharedEngines
from greengrocer.errors import UsageError
from greengrocer.imaging.budget import DecodeBudget
from greengrocer.imaging.decode import DecodeLimits
from greengrocer.model_names import name_of
from greengrocer.pipeline import Pipeline
from greengrocer.serving.admission import Admission, AdmissionLimits
from greengrocer.serving.catalogue import Catalogue
from greengrocer.serving.classifier import Classifier, LocalClassifier
from greengrocer.serving.memory import return_large_blocks
from greengrocer.serving.models import Models
from greengrocer.serving.rate_limits import LocalRateLimiter, Rate, RateLimiter, Rates, parse_rate
from greengrocer.serving.readiness import Readiness
from greengrocer.serving.reloading.manager import Attempt, Fetch, Load, ModelManager
from greengrocer.serving.reloading.origin import Loaded, Origin
from greengrocer.serving.reloading.trial import try_bundle
from greengrocer.serving.resources import (
    decode_bytes,
    engine_threads,
    picture_threads,
    upload_bytes,
)
from greengrocer.serving.shadows import Shadows
from greengrocer.settings import Settings
from greengrocer.stores.address import Address, is_address
from greengrocer.stores.fetch import fetched
from greengrocer.telemetry.metrics import Metrics
from greengrocer.telemetry.traces import start_traces
from greengrocer.web.access.access import Access
from greengrocer.web.access.keys import KeyFile
from greengrocer.web.app import create_app
from greengrocer.web.body.form import OVERHEAD
from greengrocer.web.body.upload import UploadLimits
from greengrocer.web.service import Service
from greengrocer.web.wire.server import OtherServer

log = structlog.get_logger("greengrocer.models")

IN_BASE64 = 4 / 3  # length of an image in base64, as /v2 may receive it, over its own length


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
    classifier = LocalClassifier(models, threads)
    admission = Admission(admission_limits(settings, threads), threads, default.seconds)
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


def threads_of(settings: Settings, pipeline: Pipeline) -> int:
    """How many images are classified at once."""
    return settings.threads or picture_threads(pipeline.largest_batch)


def admission_limits(settings: Settings, threads: int) -> AdmissionLimits:
    """The limits on all that is in flight; raises UsageError."""
    upload_bytes = in_flight_bytes(settings, threads)
    _check_shares(settings, upload_bytes // (settings.workers or 1))
    return AdmissionLimits(upload_bytes, settings.max_queue_seconds, shares_of(settings))


def _check_shares(settings: Settings, upload_bytes: int) -> None:
    """Refuse a part of a process's bytes that could never hold the largest image."""
    needed = min(upload_bytes, _largest_body(settings))
    for name, share in shares_of(settings).items():
        if share * upload_bytes < needed:
            raise UsageError(
                f"setting limits: {name}={share:.0%} of the memory for uploads is less than an "
                f"image of max_image_bytes takes, so it would never be accepted: the least is "
                f"{name}={math.ceil(100 * needed / upload_bytes)}%"
            )


def warn_of_limits(settings: Settings, catalogue: Catalogue) -> None:
    """Log each limit that is for none of the models; one may be loaded later."""
    keys = [*(model.key for model in catalogue.models), *(key for key, _ in catalogue.absent)]
    for name in shares_of(settings).keys() - set(map(name_of, keys)):
        log.warning("limit for a model that is not there", model=name)


def _largest_body(settings: Settings) -> int:
    """The most bytes in which an image may come."""
    return int(settings.max_image_bytes * IN_BASE64) + OVERHEAD


def shares_of(settings: Settings) -> dict[str, float]:
    """The part of the queue and of the bytes that a model may take, 0 to 1, by its name."""
    parts = (limit.partition("=") for limit in settings.limits)
    return {name: int(share.rstrip("%")) / 100 for name, _, share in parts}


def in_flight_bytes(settings: Settings, threads: int) -> int:
    """Limit of the bytes of uploads in all processes together; raises UsageError."""
    if settings.upload_memory_bytes is None:
        return upload_bytes(threads, _largest_body(settings) * (settings.workers or 1))
    return settings.upload_memory_bytes


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
        decode_limits=_decode_limits(settings),
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
    settings: Settings, service: Service, around: Callable[[ASGIApp], ASGIApp] = lambda app: app
) -> OtherServer | None:
    """The gRPC server of ``service``, None where it has no port; ``around`` adds a layer."""
    if settings.grpc_port is None:
        return None
    from greengrocer.rpc.app import create_rpc_app  # noqa: PLC0415  # an extra
    from greengrocer.rpc.server import RpcServer  # noqa: PLC0415

    return RpcServer(
        around(create_rpc_app(service)),
        service,
        settings.host,
        settings.grpc_port,
        settings.keep_alive_timeout_seconds,
        settings.header_timeout_seconds,
        several=settings.workers is not None,
    )


def _key_file(settings: Settings) -> KeyFile | None:
    if settings.api_keys is None:
        return None
    # With workers the supervisor has checked the file. A later edit with a mistake must not stop a
    # new process from starting: the others continue with the keys from before.
    return KeyFile(settings.api_keys, patient=settings.workers is not None)


def rates_of(settings: Settings) -> dict[str, Rate]:
    """The rate limits that are set, by name, in the order in which they are checked."""
    given = {
        "address": settings.rate_limit_per_address,
        "key": settings.rate_limit_per_key,
    }
    return {name: parse_rate(rate) for name, rate in given.items() if rate is not None}


def make_limiter(rates: Rates) -> LocalRateLimiter | None:
    """The limiter that counts by ``rates``; None without rates."""
    return LocalRateLimiter(rates) if rates else None


class Starter(Protocol):
    """Makes a warm pipeline of a verified bundle, and measures how long an image takes."""

    def __call__(self, bundle: Bundle, origin: Origin, default: bool) -> Loaded:
        """What was loaded, as ``origin`` says; raises UsageError (BundleRefused, MissingExtra).

        Only the default model uses idle processors for an image that is alone: that takes a second
        copy of the weights (docs/decisions/012 and 029).
        """


def starter(settings: Settings, metrics: Metrics) -> Starter:
    """A function that starts models; their pipelines share the memory for decoding."""
    memory = DecodeBudget(_decode_limits(settings).bytes, metrics.decode_bytes.set)
    engines = SharedEngines()

    def start(bundle: Bundle, origin: Origin, default: bool) -> Loaded:
        threads = engine_threads()
        pipeline = build_pipeline(
            bundle,
            settings.engine,
            settings.device,
            _decode_limits(settings),
            None,
            threads if default else threads._replace(alone=threads.each),
            lambda engine: _make_batcher(engine, settings, metrics),
            memory,
            origin.name,
            engines.start,
        )
        try:
            loaded = Loaded(pipeline, origin, _service_seconds(bundle, pipeline))
        except BaseException:
            pipeline.close()
            raise
        pipeline.observer = metrics  # from now on: known-answer images are none of a client's
        return loaded

    return start


def fetcher(settings: Settings) -> Fetch:
    """A function that brings a bundle from its address to the cache, and logs when it begins."""

    def fetch(bundle: str) -> str:
        if is_address(bundle):
            # as it was parsed: one with a password is refused, and must not be in the log
            log.info("fetching bundle", bundle=str(Address.parsed(bundle)))
        return fetched(bundle, settings.bundle_cache)

    return fetch


def loader(settings: Settings, metrics: Metrics, fetch: Fetch) -> Load:
    """A function that fetches, finds and verifies a bundle, and calls ``starter``'s."""
    start = starter(settings, metrics)

    def load(origin: Origin, default: bool) -> Loaded:
        return start(load_bundle(find_bundle(fetch(origin.bundle))), origin, default)

    return load


def attempt_of(settings: Settings) -> Attempt | None:
    """The trial that a running service makes of a bundle before it loads it; None without one.

    Our engines for the CPU run a graph from the bundle. The engine torch reads only weights from
    it, and an engine of another package may need more than a trial allows.
    """
    if settings.engine not in ("auto", "onnx", "openvino"):
        return None
    return partial(try_bundle, engine=settings.engine)


def _make_batcher(engine: Engine, settings: Settings, metrics: Metrics) -> Batcher | None:
    """A batcher; None where the engine is not faster with batches, or a setting turns them off."""
    largest = settings.max_batch_size or engine.largest_batch
    if largest == 1:
        return None
    return Batcher(engine, BatchLimits(largest, settings.batch_wait_seconds), metrics.batched)


def _service_seconds(bundle: Bundle, pipeline: Pipeline) -> float:
    """Seconds that one image takes with a warm pipeline: the running mean begins with it."""
    image = bundle.read(bundle.manifest.goldens[0].file)
    started = perf_counter()
    pipeline.classify(image, Context())
    return perf_counter() - started


def _decode_limits(settings: Settings) -> DecodeLimits:
    seconds = min(settings.decode_timeout_seconds, settings.request_timeout_seconds / 2)
    memory = settings.decode_memory_bytes
    if memory is None:
        memory = decode_bytes(settings.threads or picture_threads())
    return DecodeLimits(settings.max_image_pixels, seconds, memory)
