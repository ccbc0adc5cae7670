"""The loaded models: of each the current pipeline, and the previous one for a rollback."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Lock

from greengrocer.errors import ReloadRefused, UnknownModel
from greengrocer.model_names import key_of, label_of, name_of
from greengrocer.pipeline import Pipeline
from greengrocer.serving.catalogue import Absence, Catalogue, ServedModel
from greengrocer.serving.splits import Parts
from greengrocer.serving.watchers import Watchers


class Models:
    """The loaded models by key, one of them the default.

    Any thread may change them while images run. Both pipelines of a model stay in memory. The
    engine of any older pipeline, and those of a model that is removed, are closed after their last
    image. A key is ``name`` or ``name@label``; the name is always that of the current pipeline.
    Where a method takes a key, None stands for the default.
    """

    def __init__(self, pipeline: Pipeline, label: str = "") -> None:
        self._lock = Lock()
        key = key_of(pipeline.labels.model.name, label)
        self._models = {key: _Versions(_LoadedModel(pipeline))}
        self._absent: dict[str, Absence] = {}
        self._splits: dict[str, Parts] = {}
        self._default = key
        self._catalogue = self._described()
        self.watchers = Watchers()  # told of each other catalogue

    @property
    def catalogue(self) -> Catalogue:
        """What is loaded now; the next change makes another one."""
        return self._catalogue

    @property
    def default(self) -> str:
        """The key of the default model."""
        return self._default

    @property
    def current(self) -> Pipeline:
        """The pipeline that the next image for the default model uses."""
        return self._models[self._default].current.pipeline

    def of(self, key: str | None) -> Pipeline:
        """The pipeline that the next image for a model uses; raises UnknownModel."""
        with self._lock:
            return self._find(key).current.pipeline

    def other_classes(self, keys: Sequence[str]) -> str | None:
        """A warning where the versions of a model do not all name the same classes."""
        classes = {key: set(self.of(key).labels.classes) for key in keys}
        for key, known in classes.items():
            if known != classes[keys[0]]:
                return (
                    f"{key} has other classes than {keys[0]} "
                    f"({len(known)} and {len(classes[keys[0]])}): clients get other names"
                )
        return None

    @contextmanager
    def taken(self, key: str | None = None) -> Iterator[tuple[str, Pipeline]]:
        """A model's key and pipeline, which stays open until the ``with`` block of this image ends.

        A version beside a model that was removed meanwhile is replaced by the model itself. Raises
        UnknownModel.
        """
        with self._lock:
            key = self.key_now(key)
            model = self._models[key].current
            model.pictures += 1
        try:
            yield key, model.pipeline
        finally:
            with self._lock:
                model.pictures -= 1
                last = model.dropped and not model.pictures
            if last:
                model.pipeline.close()

    def busy(self) -> list[str]:
        """The keys of the models that threads work with now."""
        with self._lock:
            return [
                key
                for key, versions in self._models.items()
                if any(each and each.pictures for each in (versions.current, versions.previous))
            ]

    def add(self, key: str, pipeline: Pipeline) -> None:
        """Serve one more model. Its name must be that of the pipeline, and the key be free."""
        with self._lock:
            assert key not in self._models
            self._models[key] = _Versions(_LoadedModel(pipeline))
            self._describe()

    def remove(self, key: str) -> None:
        """Stop serving a model; it must not be the default."""
        with self._lock:
            assert key != self._default
            versions = self._models.pop(key)
            self._describe()
        self._drop(versions.current)
        self._drop(versions.previous)

    def miss(self, absent: Mapping[str, Absence]) -> None:
        """Say which models are not loaded, and why that is so."""
        with self._lock:
            self._absent = dict(absent)
            self._describe()

    def make_default(self, key: str) -> None:
        """Answer with this model where a request names none."""
        with self._lock:
            assert key in self._models
            self._default = key
            self._describe()

    def swap(self, pipeline: Pipeline, key: str | None = None) -> None:
        """Make ``pipeline`` a model's current one; the one before it is kept for ``roll_back``.

        Where it has another name, the model's key changes.
        """
        with self._lock:
            key = key or self._default
            versions = self._models[key]
            oldest, versions.previous = versions.previous, versions.current
            versions.current = _LoadedModel(pipeline)
            self._rename(key)
        self._drop(oldest)

    def check_previous(self, key: str | None = None) -> Pipeline:
        """A model's previous pipeline. Raises ReloadRefused where there is none."""
        previous = self._models[key or self._default].previous
        if previous is None:
            raise ReloadRefused(
                "there is no previous model to roll back to: no reload has replaced one"
            )
        return previous.pipeline

    def roll_back(self, key: str | None = None) -> None:
        """Swap a model's current and previous pipeline. Raises ReloadRefused."""
        self.check_previous(key)
        with self._lock:
            key = key or self._default
            versions = self._models[key]
            assert versions.previous is not None
            versions.current, versions.previous = versions.previous, versions.current
            self._rename(key)

    def split(self, key: str, parts: Parts) -> None:
        """Share a model's requests out among its versions; without parts, all are its own."""
        with self._lock:
            self._splits.pop(key, None)
            if parts:
                self._splits[key] = parts
            self._describe()

    def promote(self, key: str) -> None:
        """Make the version beside a model its current one, which ends a split of its requests."""
        with self._lock:
            beside, versions = self._models.pop(key), self._models[name_of(key)]
            oldest, versions.previous = versions.previous, versions.current
            versions.current = beside.current
            self._splits.pop(name_of(key), None)
            self._default = name_of(key) if key == self._default else self._default
            self._describe()
        self._drop(oldest)
        self._drop(beside.previous)

    def close(self) -> None:
        """Close all engines, each after its last image."""
        for versions in self._models.values():
            self._drop(versions.current)
            self._drop(versions.previous)

    def key_now(self, key: str | None) -> str:
        """The key of the model that the next image for ``key`` uses; raises UnknownModel."""
        if key is None:
            return self._default
        for each in (key, name_of(key)):
            if each in self._models:
                return each
        raise UnknownModel(f"the model {key} was unloaded: GET /models lists those that serve")

    def _find(self, key: str | None) -> "_Versions":
        return self._models[self.key_now(key)]

    def _rename(self, key: str) -> None:
        """Give a model the key that its current pipeline's name makes; the order stays."""
        name = self._models[key].current.pipeline.labels.model.name
        new = key_of(name, label_of(key))
        assert new == key or new not in self._models
        self._models = {new if each == key else each: v for each, v in self._models.items()}
        self._default = new if key == self._default else self._default
        self._describe()

    def _describe(self) -> None:
        self._catalogue = self._described()
        self.watchers.wake()

    def _described(self) -> Catalogue:
        return Catalogue(
            tuple(
                ServedModel(key, versions.current.pipeline.labels)
                for key, versions in self._models.items()
            ),
            self._default,
            tuple(self._absent.items()),
            dict(self._splits),
        )

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


class _Versions:
    """A model's current version, and the one before it."""

    __slots__ = ("current", "previous")

    def __init__(self, current: _LoadedModel) -> None:
        self.current = current
        self.previous: _LoadedModel | None = None
