"""The current model, and the previous one for a rollback."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from greengrocer.errors import ReloadRefused
from greengrocer.pipeline import Pipeline


class Models:
    """The current pipeline and the previous one; any thread may swap them while images run.

    Both stay in memory. The engine of any older pipeline is closed after its last image.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._lock = Lock()
        self._current = _LoadedModel(pipeline)
        self._previous: _LoadedModel | None = None

    @property
    def current(self) -> Pipeline:
        """The pipeline that the next image uses."""
        return self._current.pipeline

    @contextmanager
    def taken(self) -> Iterator[Pipeline]:
        """The current pipeline, which stays open until the ``with`` block of this image ends."""
        with self._lock:
            model = self._current
            model.pictures += 1
        try:
            yield model.pipeline
        finally:
            with self._lock:
                model.pictures -= 1
                last = model.dropped and not model.pictures
            if last:
                model.pipeline.close()

    def swap(self, pipeline: Pipeline) -> None:
        """Make ``pipeline`` the current one; the one before it is kept for ``roll_back``."""
        with self._lock:
            oldest, self._previous = self._previous, self._current
            self._current = _LoadedModel(pipeline)
        self._drop(oldest)

    def check_previous(self) -> None:
        """Raise ReloadRefused where there is no previous model."""
        if self._previous is None:
            raise ReloadRefused(
                "there is no previous model to roll back to: no reload has replaced one"
            )

    def roll_back(self) -> None:
        """Swap the current and the previous pipeline. Raises ReloadRefused."""
        self.check_previous()
        with self._lock:
            assert self._previous is not None
            self._current, self._previous = self._previous, self._current

    def close(self) -> None:
        """Close both engines, each after its last image."""
        self._drop(self._current)
        self._drop(self._previous)

    def _drop(self, model: "_LoadedModel | None") -> None:
        if model is None:
            return
        with self._lock:
            idle = not model.dropped and not model.pictures
            model.dropped = True
        if idle:
            model.pipeline.close()


class _LoadedModel:
    """A pipeline, the number of its images in flight, and whether to close it after the last."""

    __slots__ = ("dropped", "pictures", "pipeline")

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.pictures = 0
        self.dropped = False
