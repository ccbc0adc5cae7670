"""The composition root: settings become a pipeline, a service, an app."""

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

from starlette.types import ASGIApp

from greengrocer.assemble_pipeline import build_pipeline
from greengrocer.bundles.bundle import Bundle, find_bundle, load_bundle
from greengrocer.context import Context
from greengrocer.datasets.gallery import Gallery, open_gallery
from greengrocer.engines.batcher import Batcher, BatchLimits
from greengrocer.engines.engine import Engine
from greengrocer.imaging.budget import DecodeBudget
from greengrocer.imaging.decode import DecodeLimits
from greengrocer.pipeline import Pipeline
from greengrocer.serving.admission import Admission, AdmissionLimits
from greengrocer.serving.classifier import Classifier, LocalClassifier
from greengrocer.serving.memory import return_large_blocks
from greengrocer.serving.rate_limits import LocalRateLimiter, Rate, RateLimiter, Rates, parse_rate
from greengrocer.serving.readiness import Readiness
from greengrocer.serving.reloading.reload import Attempt, Reloader
from greengrocer.serving.reloading.trial import try_bundle
from greengrocer.serving.resources import (
    decode_bytes,
    engine_threads,
    picture_threads,
    upload_bytes,
)
from greengrocer.settings import Settings
from greengrocer.telemetry.metrics import Metrics
from greengrocer.web.access.access import Access
from greengrocer.web.access.keys import KeyFile
from greengrocer.web.app import create_app
from greengrocer.web.body.form import OVERHEAD
from greengrocer.web.body.upload import UploadLimits
from greengrocer.web.service import Service

IN_BASE64 = 4 / 3  # length of an image in base64, as /v2 may receive it, over its own length


@dataclass(frozen=True)
class Assembled:
    """The finished application, and what its caller must close."""

    app: ASGIApp
    service: Service
    reloader: Reloader


def assemble(settings: Settings) -> Assembled:
    """Load, verify and warm the model that ``settings`` name, and build the application.

    Raises UsageError (BundleRefused, DatasetUnusable, MissingExtra) in one line.
    """
    return_large_blocks()
    gallery = open_gallery(settings.data, coarse=settings.coarse, exclude=settings.exclude)
    metrics = Metrics()
    load = loader(settings, metrics)
    pipeline, service_seconds = load(settings.bundle)
    metrics.serves(*pipeline.labels.model)
    threads = threads_of(settings, pipeline)
    classifier = LocalClassifier(pipeline, threads)
    service = make_service(
        settings,
        classifier,
        Admission(admission_limits(settings, threads), threads, service_seconds),
        gallery,
        metrics,
        make_limiter(rates_of(settings)),
    )
    reloader = Reloader(
        classifier.models,
        lambda source: load(source)[0],
        settings.bundle,
        metrics,
        attempt_of(settings),
    )
    return Assembled(create_app(service), service, reloader)


def threads_of(settings: Settings, pipeline: Pipeline) -> int:
    """How many images are classified at once."""
    return settings.threads or picture_threads(pipeline.largest_batch)


def admission_limits(settings: Settings, threads: int) -> AdmissionLimits:
    """The limits on all that is in flight; raises UsageError."""
    return AdmissionLimits(in_flight_bytes(settings, threads), settings.max_queue_seconds)


def in_flight_bytes(settings: Settings, threads: int) -> int:
    """Limit of the bytes of uploads in all processes together; raises UsageError."""
    if settings.upload_memory_bytes is None:
        largest = int(settings.max_image_bytes * IN_BASE64) + OVERHEAD
        return upload_bytes(threads, largest * (settings.workers or 1))
    return settings.upload_memory_bytes


def make_service(
    settings: Settings,
    classifier: Classifier,
    admission: Admission,
    gallery: Gallery,
    metrics: Metrics,
    limiter: RateLimiter | None,
) -> Service:
    """The service object that the routes use."""
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
            cors_origins=settings.cors_origins,
            metrics_port=settings.metrics_port,
        ),
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


Starter = Callable[[Bundle], tuple[Pipeline, float]]
Loader = Callable[[str], tuple[Pipeline, float]]


def starter(settings: Settings, metrics: Metrics) -> Starter:
    """A function that makes a warm pipeline of a verified bundle, and measures one image's seconds.

    The pipelines share the memory for decoding. It raises UsageError (BundleRefused, MissingExtra).
    """
    memory = DecodeBudget(_decode_limits(settings).bytes, metrics.decode_bytes.set)

    def start(bundle: Bundle) -> tuple[Pipeline, float]:
        pipeline = build_pipeline(
            bundle,
            settings.engine,
            settings.device,
            _decode_limits(settings),
            metrics,
            engine_threads(),
            lambda engine: _make_batcher(engine, settings, metrics),
            memory,
        )
        try:
            return pipeline, _service_seconds(bundle, pipeline)
        except BaseException:
            pipeline.close()
            raise

    return start


def loader(settings: Settings, metrics: Metrics) -> Loader:
    """A function that finds and verifies a bundle by name or directory, and calls ``starter``'s."""
    start = starter(settings, metrics)
    return lambda source: start(load_bundle(find_bundle(source)))


def attempt_of(settings: Settings) -> Attempt | None:
    """The trial that a running service makes of a bundle before it loads it; None without one.

    Only the engine onnx runs a graph from the bundle. The engine torch reads only weights from it,
    and an engine of another package may need more than a trial allows.
    """
    return try_bundle if settings.engine == "onnx" else None


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
