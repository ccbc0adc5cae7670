"""Log the changes of the models, and count those that load a bundle or return to one."""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from greengrocer.errors import UnknownModel, UsageError
from greengrocer.ranking import ModelId
from greengrocer.safe_text import MAX_NAME, one_line
from greengrocer.serving.models import Models
from greengrocer.telemetry.metrics import Metrics

COUNTED = frozenset({"load", "reload", "rollback"})  # the others change no bundle

log = structlog.get_logger("greengrocer.models")


class ChangeLog:
    """Logs and counts the changes of ``models``, each by the name of its order, as ``reload``."""

    def __init__(self, models: Models, metrics: Metrics) -> None:
        self.models = models
        self.metrics = metrics
        # by key, the last refusal of a bundle of the watched folder: order, its files and reason
        self.watched: dict[str, tuple[str, str, str]] = {}

    @contextmanager
    def logged(
        self, order: str, key: str | None = None, files: str | None = None
    ) -> Iterator[None]:
        """Count a change that the ``with`` block makes, and log and count one that it refuses."""
        with self.refusals(order, key, files):
            yield
        self._count(order, "ok")

    @contextmanager
    def refusals(
        self, order: str, key: str | None = None, files: str | None = None
    ) -> Iterator[None]:
        """Log and count a refusal, which is a UsageError or UnknownModel of the ``with`` block.

        The watched folder, of whose bundle ``files`` is the state, tries again and again: there it
        is logged once, until the files or the reason change.
        """
        try:
            yield
        except (UsageError, UnknownModel) as error:
            self._count(order, "refused")
            if key is not None and files is not None:
                before, now = self.watched.get(key), (order, files, str(error))
                self.watched[key] = now
                if now == before:
                    raise
            model = {} if key is None else {"model": one_line(key, MAX_NAME)}
            serving = told(self.models.current.labels.model)
            log.warning(f"{order} refused", **model, reason=str(error), serving=serving)
            raise

    def _count(self, order: str, result: str) -> None:
        if order in COUNTED:
            self.metrics.reloads.labels(result).inc()


def told(model: ModelId) -> str:
    """The name and the version of a model."""
    return f"{model.name} {model.version}"
