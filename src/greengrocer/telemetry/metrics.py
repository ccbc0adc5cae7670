"""Every metric, declared once. Base units: seconds, bytes, pixels.

If the environment names a directory (prometheus_client reads it when it is imported), all processes
with that environment share their metrics, and each of them reports the sums.
"""

import os
from collections.abc import Iterable, Sequence
from functools import cached_property, lru_cache

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    disable_created_metrics,
    generate_latest,
    values,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.gc_collector import GCCollector
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.values import MultiProcessValue

STAGE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
SIZE_BUCKETS = (4096, 16384, 65536, 262144, 1048576, 4194304, 16777216)

CONTENT_TYPE = CONTENT_TYPE_LATEST
SHARED_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
MODEL_INFO = "greengrocer_model_info"


class Metrics:
    """The service's metrics in a registry of their own, so that tests may have several.

    ``shared`` is the directory in which several processes share their metrics, or None.
    """

    def __init__(self, model: str | None = None, version: str = "") -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # it doubles every series
        registry = self.registry = CollectorRegistry()
        self.shared = os.environ.get(SHARED_DIRECTORY)
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
        self.decode_bytes = Gauge(
            "greengrocer_decode_bytes",
            "Memory set aside for the images that are being decoded.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._declare_model(registry)
        if model is not None:
            self.serves(model, version)

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
            "The model in use.",
            ("name", "version"),
            registry=registry,
            multiprocess_mode="livemax",
        )
        self.reloads = Counter(
            "greengrocer_reloads", "Requested changes of the model.", ("result",), registry=registry
        )
        for result in ("ok", "refused"):
            self.reloads.labels(result)
        self._serving: tuple[str, str] | None = None

    def serves(self, model: str, version: str) -> None:
        """From now on this is the model in use."""
        if self.shared is None:
            self.model.clear()
        elif self._serving is not None:  # shared metrics cannot be cleared; 0 is not reported
            self.model.labels(*self._serving).set(0)
        self.model.labels(model, version).set(1)
        self._serving = model, version

    def answered(self, route: str, status: int, seconds: float) -> None:
        """A request was answered."""
        count, duration = self._of_route(route, status)
        count.inc()
        duration.observe(seconds)

    def predicted(self, known: bool | None) -> None:
        """An image was answered; ``known`` is None for a model that gives no score."""
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

    def render(self) -> bytes:
        """All metrics in Prometheus's text format."""
        if self.shared is None:
            return generate_latest(self.registry)
        together = CollectorRegistry()
        PlatformCollector(registry=together)
        _SharedCollector(together, self.shared)  # type: ignore[no-untyped-call]
        return generate_latest(together)


def take_slot(slot: str) -> None:
    """Write the metrics of this process to the files of ``slot`` instead of its process id.

    It continues the counts of an earlier process in the slot. Call it before Metrics is created.
    """
    values.ValueClass = MultiProcessValue(lambda: slot)  # type: ignore[no-untyped-call]


class _SharedCollector(MultiProcessCollector):
    """The sums of all processes, without the models that are no longer in use."""

    def collect(self) -> Iterable[Metric]:
        for metric in super().collect():  # type: ignore[no-untyped-call]
            if metric.name == MODEL_INFO:
                metric.samples = [sample for sample in metric.samples if sample.value]
            yield metric
