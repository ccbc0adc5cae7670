"""Change the models of a running service: load, unload, reload, roll back, make one the default.

One change runs at a time. A bundle is fetched before, however long that takes, and its change is
refused where its model has changed by then. A change that is refused leaves the models as they are.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import structlog

from greengrocer.errors import Overtaken, ReloadRefused, UsageError
from greengrocer.model_names import key_of, name_of
from greengrocer.ranking import ModelId
from greengrocer.safe_text import kind_and_words_of
from greengrocer.serving.admission import Admission
from greengrocer.serving.catalogue import Absence
from greengrocer.serving.memory import return_free_pages
from greengrocer.serving.models import Models
from greengrocer.serving.reloading.change_log import ChangeLog, told
from greengrocer.serving.reloading.origin import Load, Loaded, Origin, Origins
from greengrocer.serving.reloading.serving_state import Absent, ServingState
from greengrocer.serving.shadows import Shadows
from greengrocer.serving.splits import Parts, checked_parts
from greengrocer.stores.interruptible import cancellable
from greengrocer.telemetry.metrics import Metrics

# Takes a bundle's name or directory; returns once another process has loaded it, or raises
# UsageError.
Attempt = Callable[[str], Awaitable[None]]
# The directory of a bundle that is named by an address, fetched; raises UsageError.
Fetch = Callable[[str], str]

log = structlog.get_logger("greengrocer.models")


class Change(NamedTuple):
    """The model before a change, and the one after it; None where there was or is none.

    Each by its key, as ``shop@next``, and its version.
    """

    old: ModelId | None
    new: ModelId | None


class ModelManager:
    """Changes ``models``, which has one model, from ``origin``. It runs on the event loop only.

    ``fetch`` is called before ``attempt``, and that before ``load``. ``remember`` is called before
    each change, and prevents it by an OSError; ``changed`` is called after it. Where a method takes
    a key, None stands for the default model.
    """

    def __init__(
        self,
        models: Models,
        load: Load,
        origin: Origin,
        metrics: Metrics,
        admission: Admission | None = None,
        attempt: Attempt | None = None,
        remember: Callable[[ServingState], None] = lambda _: None,
        changed: Callable[[], None] = lambda: None,
        shadows: Shadows | None = None,
        fetch: Fetch = lambda bundle: bundle,
    ) -> None:
        self.models = models
        self.load = load
        self.metrics = metrics
        self.admission = admission
        self.attempt = attempt
        self.remember = remember
        self.changed = changed
        self.shadows = shadows
        self.fetch = fetch
        self.changes = ChangeLog(models, metrics)
        self.state = ServingState.of(models.default, origin)
        self.busy = False
        self._tell()

    async def reload(
        self, bundle: str | Origin | None = None, key: str | None = None, files: str | None = None
    ) -> Change:
        """Load a bundle, by default a model's own again, and swap it in.

        A model that ``key`` names keeps its name with another bundle; without ``key`` the default
        model takes that of its bundle, unless it was given one. An Origin also says the name from
        now on. ``files`` is the state of the bundle's files, if it is in the watched folder: then
        it has been tried. Raises UsageError (BundleRefused, ReloadRefused), in one line; nothing is
        changed then.
        """
        with self.changes.logged("reload", key, files):
            named, key = key, self.state.there(key)
            origins = self.state.models[key]
            wanted = origins.current._replace(copy=None)
            if isinstance(bundle, Origin):
                wanted = bundle
            elif bundle is not None:
                name = wanted.name or (named and name_of(named))
                wanted = wanted._replace(name=name, bundle=bundle, watched=files is not None)
            directory = await self._fetched(wanted, files)
            with self._exclusively():
                if self.state.models.get(key) != origins:
                    raise Overtaken(key)
                return await self._reloaded(key, wanted, directory, files)

    async def roll_back(self, key: str | None = None) -> Change:
        """Return to a model's previous version. Raises ReloadRefused where there is none."""
        with self.changes.logged("rollback", key), self._exclusively():
            key = self.state.there(key)
            old = self._id(key)
            new = self.state.renamed(key, self.models.check_previous(key).labels.model.name)
            current, previous = self.state.models[key]
            assert previous is not None
            self._record(self.state.changed(key, new, Origins(previous, current)))
            self.models.roll_back(key)
            self._move(key, new)
            self._compare_again(new)
            return self._done("rolled back", new, old)

    async def add(
        self, key: str | None, bundle: str | None = None, files: str | None = None
    ) -> Change:
        """Load one more model, under its bundle's name where ``key`` is None.

        Without a bundle it is the one of a model that was unloaded, or could not be loaded.
        ``files`` is as for ``reload``. Raises UsageError, in one line; nothing is changed then.
        """
        with self.changes.logged("load", key, files):
            wanted = self.state.wanted(key, bundle)
            directory = await self._fetched(wanted, files)
            with self._exclusively():
                if self.state.wanted(key, bundle) != wanted:
                    raise Overtaken(key)
                origin = wanted if files is None else wanted._replace(watched=True)
                default = self.state.is_of_default(origin.name)
                loaded = await self._loaded(origin, directory, default, files)
                key = self._added(loaded, self._record, files)
                await asyncio.to_thread(return_free_pages)  # that the loading took
                return self._done("loaded", key, None, loaded.seconds)

    async def remove(self, key: str, *, forget: bool = False) -> Change:
        """Unload a model; its memory is free after its last image. Raises ReloadRefused.

        It is listed as unloaded then, and can be loaded by its name, unless ``forget`` is true.
        """
        with self.changes.logged("unload", key, "" if forget else None), self._exclusively():
            key = self.state.there(key)
            old = self._id(key)
            removed = self.state.removed(key)
            self._record(removed.forgotten(key) if forget else removed)
            self.models.remove(key)
            self._forget(key)
            self._tell()
            await asyncio.to_thread(return_free_pages)
            log.info("unloaded", model=key, old=told(old))
            return Change(old, None)

    async def make_default(self, key: str) -> Change:
        """Answer with this model where a request names none. Raises ReloadRefused."""
        with self.changes.logged("default", key), self._exclusively():
            key = self.state.there(key)
            old = self._id(self.state.default)
            self._record(self.state._replace(default=key))
            self.models.make_default(key)
            return self._done("default changed", key, old)

    async def split(self, parts: Mapping[str, int]) -> Parts:
        """Share a model's requests out among its versions, in per cent; returns the parts.

        All for the model itself ends the split. Raises ReloadRefused.
        """
        with self.changes.logged("split"), self._exclusively():
            checked = checked_parts(parts, tuple(self.state.models))
            self._record(self.state.split(checked))
            key = checked[0][0]
            self.models.split(key, self.state.splits.get(key, ()))
            self._tell()
            log.info("split", model=key, parts=dict(checked))
            self._warn_of_classes([each for each, _ in checked])
            return checked

    async def shadow(self, key: str, part: int) -> None:
        """Copy a part of a model's images, in per cent, to the version ``key`` beside it.

        0 ends that. Raises ReloadRefused.
        """
        with self.changes.logged("shadow", key), self._exclusively():
            self._record(self.state.shadow(key, part))
            self._cast(key, part)
            log.info("shadow", model=key, part=part)
            self._warn_of_classes([name_of(key), key] if part else [])

    async def promote(self, key: str) -> Change:
        """Make the version beside a model its current one; ``roll_back`` returns to the one before.

        Raises ReloadRefused.
        """
        with self.changes.logged("promote", key), self._exclusively():
            promoted = self.state.promoted(key)
            name = name_of(key)
            old = self._id(name)
            self._warn_of_classes([name, key])
            self._record(promoted)
            self.models.promote(key)
            self._cast(key, 0)
            self._move(key, name)
            return self._done("promoted", name, old)

    def note_failed(self, key: str, bundle: str, reason: str) -> None:
        """Say why a bundle of the watched folder cannot be loaded, unless a model has its key."""
        others = self.state.absent.keys() - self.state.failed_watched
        if key not in self.state.models and key not in others:
            self._failed(key, Origin.of(key, bundle)._replace(watched=True), reason)
            self._tell()

    def note_gone(self, key: str) -> None:
        """Say that a bundle of the watched folder has gone; it is no longer listed as failed.

        If it comes back, it is loaded. Raises ReloadRefused.
        """
        failed = key in self.state.failed_watched
        if failed or key in self.state.watched:
            self._record(self.state.forgotten(key) if failed else self.state.unwatched(key))
            self._tell()

    def begin(self, origin: Origin) -> None:
        """Load one more model before the service runs; where that fails, serve without it.

        It is not recorded: a process that ends before all have begun has changed nothing.
        """
        try:
            loaded = self._load(origin, self.state.is_of_default(origin.name))
            self._expect(self._added(loaded, self._assume), loaded.seconds)
        except UsageError as error:
            key = self.state.key_of_missing(origin)
            self._failed(key, origin._replace(copy=None), str(error))
            log.error("model not loaded", model=key, reason=str(error))  # noqa: TRY400 - one line
        self._tell()

    def resume(self, before: ServingState) -> None:
        """Take up what an engine before this one was told, beside the models that it had."""
        for key, absent in before.absent.items():
            if key not in self.state.models:
                self.state = self.state.missing(key, absent)
        for key, parts in before.splits.items():
            if all(each in self.state.models for each, _ in parts):
                self.state = self.state.split(parts)
                self.models.split(key, parts)
        for key in before.shadows:  # a copy may be what the engine died of: no client asked for it
            log.warning("shadow ended", model=key, reason="the engine was replaced")
        absents = self.state.absent.items()
        failed = {key for key, each in absents if each.absence is Absence.FAILED}
        for key in before.watched.keys() - failed:  # what has failed is read from its folder again
            self.state = self.state.watching(key, before.watched[key])
        self._tell()

    def _added(
        self, loaded: Loaded, accept: Callable[[ServingState], None], files: str | None = None
    ) -> str:
        """Serve what was loaded, and return its key; raises ReloadRefused."""
        key = key_of(loaded.pipeline.labels.model.name, loaded.origin.label)
        with loaded.dropped_if_refused():
            state = self.state.added(key, loaded.origin)
            accept(state if files is None else state.watching(key, files))
        self.models.add(key, loaded.pipeline)
        return key

    async def _fetched(self, origin: Origin, files: str | None) -> str:
        """The directory of a bundle, or its name; other changes may run meanwhile.

        One of the watched folder, of which ``files`` is the state, is there.
        """
        if files is not None:
            return origin.bundle
        return await cancellable(partial(self.fetch, origin.bundle))

    async def _reloaded(
        self, key: str, wanted: Origin, directory: str, files: str | None
    ) -> Change:
        """Load a bundle that was fetched, and swap it in."""
        default = self.state.is_of_default(name_of(key))
        loaded = await self._loaded(wanted, directory, default, files)
        old, before = self._id(key), self.state.models[key].current
        with loaded.dropped_if_refused():
            new = self.state.renamed(key, loaded.pipeline.labels.model.name)
            state = self.state.changed(key, new, Origins(loaded.origin, before))
            self._record(state if files is None else state.watching(new, files))
        self.models.swap(loaded.pipeline, key)
        self._move(key, new)
        self._compare_again(new)
        await asyncio.to_thread(return_free_pages)  # that the loading took
        return self._done("reloaded", new, old, loaded.seconds)

    async def _loaded(
        self, origin: Origin, directory: str, default: bool, files: str | None
    ) -> Loaded:
        """What was loaded: the very bundle that was tried, whatever is at its address by now.

        One of the watched folder, of which ``files`` is the state, was tried before.
        """
        if self.attempt is not None and files is None:
            await self.attempt(directory)
        found = origin._replace(bundle=directory)
        loaded = await asyncio.to_thread(self._load, found, default)
        return loaded._replace(origin=loaded.origin._replace(bundle=origin.bundle))

    def _load(self, origin: Origin, default: bool) -> Loaded:
        try:
            return self.load(origin, default)
        except UsageError:
            raise
        # Any error of a new model: the others must continue to serve.
        except Exception as error:
            log.exception("load failed", bundle=origin.bundle)
            reason = kind_and_words_of(error)
            raise ReloadRefused(f"bundle {origin.bundle} does not load: {reason}") from error

    def _failed(self, key: str, origin: Origin, why: str) -> None:
        self._assume(self.state.missing(key, Absent.failed(origin, why)))

    def _assume(self, state: ServingState) -> None:
        self.state = state

    def _record(self, state: ServingState) -> None:
        try:
            self.remember(state)
        except OSError as error:
            raise ReloadRefused(
                "the model was not changed, because the change cannot be recorded: "
                f"{error.strerror or error}"
            ) from error
        self.state = state

    @contextmanager
    def _exclusively(self) -> Iterator[None]:
        if self.busy:
            raise ReloadRefused("another change of the models is running: try again later")
        self.busy = True
        try:
            yield
        finally:
            self.busy = False

    def _done(self, event: str, key: str, old: ModelId | None, seconds: float = 0.0) -> Change:
        new = self._id(key)
        if seconds:
            self._expect(key, seconds)
        self._tell()
        before = {} if old is None else {"old": told(old)}
        log.info(event, model=key, **before, new=told(new))
        return Change(old, new)

    def _id(self, key: str) -> ModelId:
        """The key and the version of a loaded model."""
        return ModelId(key, self.models.of(key).labels.model.version)

    def _warn_of_classes(self, keys: Sequence[str]) -> None:
        if warning := self.models.other_classes(keys):
            log.warning("other classes", reason=warning)

    def _expect(self, key: str, seconds: float) -> None:
        if self.admission is not None:
            self.admission.expect(key, seconds)

    def _forget(self, key: str) -> None:
        if self.admission is not None:
            self.admission.forget(key)

    def _move(self, key: str, new: str) -> None:
        """Count a model that has another key from now on."""
        if self.admission is not None and new != key:
            self.admission.rename(key, new)
            gone = name_of(key) != name_of(new)
            if gone and name_of(key) in self.admission.limits.shares:
                log.warning("limit for a model that is not there", model=name_of(key))

    def _cast(self, key: str, part: int) -> None:
        if self.shadows is not None:
            self.shadows.cast(key, part)

    def _compare_again(self, key: str) -> None:
        """Begin a comparison again once its model, or the version beside it, was replaced."""
        for shadow, part in self.state.shadows.items():
            if key in (shadow, name_of(shadow)):
                self._cast(shadow, part)

    def _tell(self) -> None:
        """Have metrics and other processes know what serves now."""
        self.models.miss({key: each.absence for key, each in self.state.absent.items()})
        catalogue = self.models.catalogue
        self.metrics.serves(*(model.labels.model for model in catalogue.models))
        self.metrics.misses(*(key for key, why in catalogue.absent if why is Absence.FAILED))
        self.changed()
