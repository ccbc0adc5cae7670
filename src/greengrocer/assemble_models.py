"""The part of the composition root that loads models: a bundle becomes a warm pipeline."""

from functools import partial
from time import perf_counter
from typing import Protocol

import structlog

from greengrocer.assemble_limits import decode_budget, decode_limits
from greengrocer.assemble_pipeline import build_pipeline
from greengrocer.bundles.bundle import Bundle, find_bundle, load_bundle
from greengrocer.context import Context
from greengrocer.engines.batcher import Batcher, BatchLimits
from greengrocer.engines.engine import Engine
from greengrocer.engines.shared import SharedEngines
from greengrocer.pipeline import Pipeline
from greengrocer.serving.reloading.manager import Attempt, Fetch
from greengrocer.serving.reloading.origin import Load, Loaded, Origin
from greengrocer.serving.reloading.trial import try_bundle
from greengrocer.serving.resources import (
    engine_threads,
)
from greengrocer.settings import Settings
from greengrocer.stores.fetch import fetched
from greengrocer.telemetry.metrics import Metrics

log = structlog.get_logger("greengrocer.models")


class Starter(Protocol):
    """Makes a warm pipeline of a verified bundle, and measures how long an image takes."""

    def __call__(self, bundle: Bundle, origin: Origin, default: bool) -> Loaded:
        """What was loaded, as ``origin`` says; raises UsageError (BundleRefused, MissingExtra).

        Only the default model uses idle processors for an image that is alone: that takes a second
        copy of the weights (docs/decisions/012 and 029).
        """


def starter(settings: Settings, metrics: Metrics) -> Starter:
    """A function that starts models; their pipelines share the memory for decoding."""
    memory = decode_budget(settings, metrics.decode_bytes.set)
    engines = SharedEngines()

    def start(bundle: Bundle, origin: Origin, default: bool) -> Loaded:
        threads = engine_threads()
        pipeline = build_pipeline(
            bundle,
            settings.engine,
            settings.device,
            decode_limits(settings),
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
    """A function that brings a bundle from its address to the cache, and logs a download."""

    def begin(bundle: str) -> None:
        log.info("fetching bundle", bundle=bundle)

    return partial(fetched, cache=settings.bundle_cache, begin=begin)


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
