"""Every metric, declared once. Base units: seconds, bytes, pixels."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

STAGE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SIZE_BUCKETS = (4096, 16384, 65536, 262144, 1048576, 4194304, 16777216)

CONTENT_TYPE = CONTENT_TYPE_LATEST


class Metrics:
    """The service's metrics in a registry of their own, so that tests may have several."""

    def __init__(self, model: str, version: str) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # it doubles every series
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
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
        self.decode_seconds = Histogram(
            "greengrocer_decode_seconds",
            "Decoding a picture and fitting it to the model.",
            buckets=STAGE_BUCKETS,
            registry=registry,
        )
        self.inference_seconds = Histogram(
            "greengrocer_inference_seconds",
            "Running the model on a picture.",
            buckets=STAGE_BUCKETS,
            registry=registry,
        )
        self.upload_bytes = Histogram(
            "greengrocer_upload_bytes",
            "Size of a picture as uploaded.",
            buckets=SIZE_BUCKETS,
            registry=registry,
        )
        self.in_flight = Gauge(
            "greengrocer_in_flight", "Requests taken and not yet answered.", registry=registry
        )
        self.pictures_in_flight = Gauge(
            "greengrocer_pictures_in_flight",
            "Pictures admitted and not yet answered.",
            registry=registry,
        )
        self.predictions = Counter(
            "greengrocer_predictions",
            "Pictures answered, by whether they show something known.",
            ("known",),
            registry=registry,
        )
        self.model = Gauge(
            "greengrocer_model_info", "The model in use.", ("name", "version"), registry=registry
        )
        self.model.labels(model, version).set(1)

    def decoded(self, seconds: float) -> None:
        """A picture was decoded and fitted; called from worker threads."""
        self.decode_seconds.observe(seconds)

    def inferred(self, seconds: float) -> None:
        """The model ran on a picture; called from worker threads."""
        self.inference_seconds.observe(seconds)

    def render(self) -> bytes:
        """All of it in Prometheus's text format."""
        return generate_latest(self.registry)
