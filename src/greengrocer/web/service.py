"""The parts that the routes use, built once at start-up and never changed."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from greengrocer.datasets.gallery import Gallery
from greengrocer.imaging.decode import DecodeLimits
from greengrocer.serving.admission import Admission
from greengrocer.serving.classifier import Classifier
from greengrocer.serving.readiness import Readiness
from greengrocer.telemetry.metrics import Metrics
from greengrocer.web.access.access import Access
from greengrocer.web.body.upload import UploadLimits

if TYPE_CHECKING:
    from greengrocer.telemetry.spans import Spans


@dataclass(frozen=True)
class Service:
    """The parts behind the routes. Times are in seconds."""

    classifier: Classifier
    admission: Admission
    gallery: Gallery
    readiness: Readiness
    metrics: Metrics
    upload_limits: UploadLimits
    decode_limits: DecodeLimits
    deadline: float
    access_log: bool
    log_addresses: bool = True
    access: Access = field(default_factory=Access)
    traces: "Spans | None" = None

    def stage(self, name: str) -> AbstractContextManager[None]:
        """The block is a stage of the current request, for its trace."""
        return nullcontext() if self.traces is None else self.traces.stage(name)

    def close(self) -> bool:
        """Finish the images that were accepted, and export the traces; False if a thread hangs.

        Then the process must end by ``os._exit``.
        """
        ended = self.classifier.close()
        if self.traces is not None:
            self.traces.close()
        return ended
