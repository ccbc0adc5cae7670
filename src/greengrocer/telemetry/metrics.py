"""Every metric, declared once. Base units: seconds, bytes, pixels.

If the environment names a directory (prometheus_client reads it when it is imported), all processes
with that environment share their metrics, and each of them reports the sums.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    Summary,
    disable_created_metrics,
    generate_latest,
    values,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.gc_collector import GCCollector
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.samples import Exemplar
from prometheus_client.values import MultiProcessValue

from greengrocer.telemetry.shared_exemplars import ExemplarFile, read_exemplars

STAGE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
SIZE_BUCKETS = (4096, 16384, 65536, 262144, 1048576, 4194304, 16777216)

OPENMETRICS = "application/openmetrics-text"
SHARED_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
MODEL_INFO = "greengrocer_model_info"
MODEL_FAILED = "greengrocer_model_failed"


class Metrics:
    """The service's metrics in a registry of their own, so that tests may have several.

    ``shared`` is the directory in which several processes share their metrics, or None.
    """

    def __init__(self, model: str | None = None, version: str = "") -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # it doubles every series
        registry = self.registry = CollectorRegistry()
        self.shared = os.environ.get(SHARED_DIRECTORY)
        # the labels that lead from a measured request to its trace
        self.exemplar: Callable[[], dict[str, str] | None] = lambda: None
        PlatformCollector(registry=registry)
        if self.shared is None:  # for one process among several they mean nothing
            ProcessCollector(registry=registry)
            GCCollector(registry=registry)
        self._declare_requests(registry)
        self.decode_seconds = Histogram(
            "greengrocer_decode_seconds",
            "Decoding an image and fitting it to the model.",
            buckets=STAGE_BUCKETS,
            registry=registry,
        )
        self.inference_seconds = Histogram(
            "greengrocer_inference_seconds",
            "Running the model on an image, with its wait for a batch.",
            buckets=STAGE_BUCKETS,
            registry=registry,
        )
        self.upload_bytes = Histogram(
            "greengrocer_upload_bytes",
            "Size of an image as uploaded.",
            buckets=SIZE_BUCKETS,
            registry=registry,
        )
        self.in_flight = Gauge(
            "greengrocer_in_flight",
            "Requests received and not yet answered.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.pictures_in_flight = Gauge(
            "greengrocer_images_in_flight",
            "Images admitted and not yet answered.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.upload_memory_bytes = Gauge(
            "greengrocer_upload_memory_bytes",
            "Memory set aside for uploads, and for answers that are not sent yet.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.decode_bytes = Gauge(
            "greengrocer_decode_bytes",
            "Memory set aside for the images that are being decoded.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._declare_model(registry)
        if model is not None:
            self.serves((model, version))

    def _declare_requests(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "greengrocer_requests", "Answered requests.", ("route", "status"), registry=registry
        )
        self.request_seconds = Histogram(
            "greengrocer_request_seconds",
            "From a request's headers to the end of its answer.",
            ("route",),
            buckets=REQUEST_BUCKETS,
            registry=registry,
        )
        self.rejections = Counter(
            "greengrocer_rejections", "Refused requests.", ("reason",), registry=registry
        )
        self.predictions = Counter(
            "greengrocer_predictions",
            "Images answered, by whether they show something known.",
            ("known",),
            registry=registry,
        )
        self._predicted = {k: self.predictions.labels(str(k).lower()) for k in (False, True)}
        # looking up a labelled series takes longer than counting
        self._of_route = lru_cache(
            lambda route, status: (
                self.requests.labels(route, status),
                self.request_seconds.labels(route),
            )
        )

    def _declare_model(self, registry: CollectorRegistry) -> None:
        self.model = Gauge(
            MODEL_INFO,
            "The models in use.",
            ("name", "version"),
            registry=registry,
            multiprocess_mode="livemax",
        )
        self.failed = Gauge(
            MODEL_FAILED,
            "The models that could not be loaded.",
            ("model",),
            registry=registry,
            multiprocess_mode="livemax",
        )
        self.model_seconds = Histogram(
            "greengrocer_model_seconds",
            "An image's time in a thread, by model.",
            ("model",),
            buckets=STAGE_BUCKETS,
            registry=registry,
        )
        self._of_model = lru_cache(self.model_seconds.labels)
        self.model_refusals = Counter(
            "greengrocer_model_refusals",
            "Images that a model, its engine or its queue refused or failed on.",
            ("model", "reason"),
            registry=registry,
        )
        self._declare_shadows(registry)
        self.reloads = Counter(
            "greengrocer_reloads",
            "Loads, reloads and rollbacks of models, by result.",
            ("result",),
            registry=registry,
        )
        for result in ("ok", "refused"):
            self.reloads.labels(result)
        self._set: dict[Gauge, tuple[tuple[str, ...], ...]] = {}

    def _declare_shadows(self, registry: CollectorRegistry) -> None:
        self.shadow_images = Counter(
            "greengrocer_shadow_images",
            "Images of a model that were copied to a version beside it, by what came of it.",
            ("model", "shadow", "result"),
            registry=registry,
        )
        self.shadow_confidence = Summary(
            "greengrocer_shadow_confidence",
            "Confidence of the likeliest class, of images that both versions got.",
            ("model", "of"),
            registry=registry,
        )
        self.shadow_seconds = Summary(
            "greengrocer_shadow_seconds",
            "Time in a thread, of images that both versions got.",
            ("model", "of"),
            registry=registry,
        )

    def shadowed(self, model: str, shadow: str, result: str) -> None:
        """An image of a model was to be copied to a version beside it."""
        self.shadow_images.labels(model, shadow, result).inc()

    def compared(self, model: str, of: str, confidence: float, seconds: float) -> None:
        """What one of the two answered to an image that both got, and how long it took."""
        self.shadow_confidence.labels(model, of).observe(confidence)
        self.shadow_seconds.labels(model, of).observe(seconds)

    def serves(self, *models: tuple[str, str]) -> None:
        """From now on these are the models in use, each by name and version."""
        self._set_only(self.model, models)

    def misses(self, *keys: str) -> None:
        """From now on these are the models that could not be loaded."""
        self._set_only(self.failed, tuple((key,) for key in keys))

    def _set_only(self, gauge: Gauge, series: tuple[tuple[str, ...], ...]) -> None:
        """Have ``gauge`` be 1 for these labels and for no others."""
        if self.shared is None:
            gauge.clear()
        else:  # shared metrics cannot be cleared; 0 is not reported
            for before in self._set.get(gauge, ()):
                gauge.labels(*before).set(0)
        for labels in series:
            gauge.labels(*labels).set(1)
        self._set[gauge] = series

    def answered(self, route: str, status: int, seconds: float) -> None:
        """A request was answered."""
        count, duration = self._of_route(route, status)
        count.inc()
        duration.observe(seconds, self.exemplar())

    def predicted(self, model: str, seconds: float, known: bool | None) -> None:
        """An image was answered by a model, in ``seconds`` of a thread.

        ``known`` is None for a model that gives no score.
        """
        self._of_model(model).observe(seconds, self.exemplar())
        count = self.predictions.labels("null") if known is None else self._predicted[known]
        count.inc()

    def decoded(self, seconds: float) -> None:
        """An image was decoded and fitted; called from worker threads."""
        self.decode_seconds.observe(seconds)

    def inferred(self, seconds: float) -> None:
        """The model ran on an image; called from worker threads."""
        self.inference_seconds.observe(seconds)

    def batched(self, waits: Sequence[float]) -> None:
        """As many images as there are ``waits``, in seconds, run together; from any thread."""
        self._batch_images.observe(len(waits))
        for wait in waits:
            self._batch_wait_seconds.observe(wait)

    @cached_property  # these metrics exist only if batches run
    def _batch_images(self) -> Histogram:
        return Histogram(
            "greengrocer_batch_images",
            "Images that the model ran on together.",
            buckets=BATCH_BUCKETS,
            registry=self.registry,
        )

    @cached_property
    def _batch_wait_seconds(self) -> Histogram:
        return Histogram(
            "greengrocer_batch_wait_seconds",
            "A decoded image's wait for the model.",
            buckets=STAGE_BUCKETS,
            registry=self.registry,
        )

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """All metrics, and the media type of their format.

        That is OpenMetrics, which alone has exemplars, where the header ``accept`` names it, and
        else Prometheus's text format.
        """
        if OPENMETRICS in accept:
            body: bytes = openmetrics.generate_latest(self._together())  # type: ignore[no-untyped-call]
            return body, openmetrics.CONTENT_TYPE_LATEST
        return generate_latest(self._together()), CONTENT_TYPE_LATEST

    def _together(self) -> CollectorRegistry:
        """The metrics of all processes."""
        if self.shared is None:
            return self.registry
        together = CollectorRegistry()
        PlatformCollector(registry=together)
        _SharedCollector(together, self.shared)
        return together


def take_slot(slot: str) -> None:
    """Write the metrics of this process to the files of ``slot`` instead of its process id.

    It continues the counts of an earlier process in the slot. Call it before Metrics is created.
    Raises OSError where the disk is full.
    """
    base: Any = MultiProcessValue(lambda: slot)  # type: ignore[no-untyped-call]
    exemplars = ExemplarFile(Path(os.environ[SHARED_DIRECTORY]), slot)

    class Value(base):  # type: ignore[misc]  # it is made at run time
        """Keeps exemplars, which the library's drops."""

        def set_exemplar(self, exemplar: Exemplar) -> None:
            exemplars.write(self._key, exemplar)

    values.ValueClass = Value


class _SharedCollector(MultiProcessCollector):
    """The sums of all processes, without the models that are no longer in use."""

    def __init__(self, registry: CollectorRegistry, directory: str) -> None:
        self._directory = Path(directory)
        super().__init__(registry, directory)  # type: ignore[no-untyped-call]

    def collect(self) -> Iterable[Metric]:
        exemplars = read_exemplars(self._directory)
        for metric in super().collect():  # type: ignore[no-untyped-call]
            if metric.name in (MODEL_INFO, MODEL_FAILED):
                metric.samples = [sample for sample in metric.samples if sample.value]
            if metric.type == "histogram":
                metric.samples = [
                    sample._replace(
                        exemplar=exemplars.get((sample.name, frozenset(sample.labels.items())))
                    )
                    for sample in metric.samples
                ]
            yield metric
