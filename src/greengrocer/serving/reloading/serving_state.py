"""What serves, as an immutable record: each change makes the next one, or is refused.

It is what an engine process that is started again needs to serve the same.
"""

from collections.abc import Mapping
from itertools import chain, count
from typing import NamedTuple, TypeVar

from greengrocer.errors import ReloadRefused
from greengrocer.model_names import key_of, label_of, name_of
from greengrocer.safe_text import MAX_NAME, MAX_REASON, one_line
from greengrocer.serving.catalogue import Absence
from greengrocer.serving.reloading.origin import Origin, Origins
from greengrocer.serving.splits import ALL, Parts

V = TypeVar("V")


class Absent(NamedTuple):
    """A model that does not serve; ``reason`` is the line of the log that says why it failed."""

    absence: Absence
    origin: Origin
    reason: str = ""

    @classmethod
    def failed(cls, origin: Origin, reason: str) -> "Absent":
        """One that cannot be loaded, with the reason in one bounded line."""
        return cls(Absence.FAILED, origin, one_line(reason, MAX_REASON))


class ServingState(NamedTuple):
    """All models that serve, the key of the default, and those that do not serve, each by key.

    ``splits`` has the parts of requests of a model's versions, by the model's key, and ``shadows``
    the part of a model's images that a version beside it gets a copy of, by the version's key.
    ``watched`` has the state in which the files of a bundle were last loaded from the watched
    folder, by the bundle's key. The model of that key may be another by now: its origin tells.
    Every method raises ReloadRefused where its change makes no sense.
    """

    models: Mapping[str, Origins]
    default: str
    absent: Mapping[str, Absent]
    splits: Mapping[str, Parts]
    shadows: Mapping[str, int]
    watched: Mapping[str, str]

    @classmethod
    def of(cls, key: str, origin: Origin) -> "ServingState":
        """One model serves, the default."""
        return cls({key: Origins(origin)}, key, {}, {}, {}, {})

    @property
    def failed_watched(self) -> set[str]:
        """The keys of bundles in the watched folder that could not be loaded."""
        return {
            key
            for key, each in self.absent.items()
            if each.absence is Absence.FAILED and each.origin.watched
        }

    def there(self, key: str | None) -> str:
        """The key of a loaded model; None is that of the default."""
        if key is None:
            return self.default
        if key not in self.models:
            there = ", ".join(self.models)
            raise ReloadRefused(f"there is no model {one_line(key, MAX_NAME)}: loaded are {there}")
        return key

    def beside(self, key: str) -> str:
        """The key of a version that is beside a model."""
        if self.there(key) == name_of(key):
            raise ReloadRefused(f"{key} is no version beside a model, as {key}@next is")
        return key

    def is_of_default(self, name: str | None) -> bool:
        """Whether a model of this name is the default, or a version beside it."""
        return name == name_of(self.default)

    def wanted(self, key: str | None, bundle: str | None) -> Origin:
        """The origin of a model to load; without a bundle, of one that does not serve."""
        if key is not None:
            self.check_free(key)
        elif bundle is not None and bundle in self.models:
            self.check_free(bundle)  # a shipped bundle has the name of its model
        if bundle is not None:
            return Origin.of(key, bundle)
        if key is None or key not in self.absent:
            raise ReloadRefused(f"the model {key} has no bundle yet: say {key}=BUNDLE")
        return self.absent[key].origin

    def check_free(self, key: str) -> None:
        """Refuse a key that a model has, or of a version that has no model to be beside."""
        if key in self.models:
            raise ReloadRefused(
                f"there is a model {key} already: reload it, or name this one, as NAME=BUNDLE"
            )
        if label_of(key) and name_of(key) not in self.models:
            raise ReloadRefused(f"there is no model {name_of(key)}, beside which {key} would be")

    def renamed(self, key: str, name: str) -> str:
        """The key of a model once its bundle has another name."""
        new = key_of(name, label_of(key))
        if new != key and (new in self.models or self._beside(key)):
            why = "a model has it" if new in self.models else f"other versions are beside {key}"
            raise ReloadRefused(
                f"{key} cannot have its bundle's name {new}, because {why}: "
                f"`greengrocer models reload {key} --bundle ...` keeps the name"
            )
        return new

    def changed(self, key: str, new: str, origins: Origins) -> "ServingState":
        """A model has another key and other origins."""
        models = {
            new if each == key else each: origins if each == key else before
            for each, before in self.models.items()
        }
        return self._replace(
            models=models,
            default=new if key == self.default else self.default,
            absent=self._still_absent(new, origins.current),
        )

    def added(self, key: str, origin: Origin) -> "ServingState":
        """One more model serves."""
        self.check_free(key)
        models = {**self.models, key: Origins(origin)}
        return self._replace(models=models, absent=self._still_absent(key, origin))

    def watching(self, key: str, files: str) -> "ServingState":
        """The bundle of this key was loaded from the watched folder, in this state of its files."""
        return self._replace(watched={**self.watched, key: files})

    def serves_watched(self, key: str) -> bool:
        """Whether there is such a model, and it was loaded from the watched folder."""
        return key in self.models and self.models[key].current.watched

    def key_of_missing(self, origin: Origin) -> str:
        """A free key for a model that could not be loaded, whose own name nobody knows."""
        name = origin.name or origin.last_name
        names = chain([name], (f"{name}-{number}" for number in count(2)))
        keys = (key_of(each, origin.label) for each in names)
        return next(key for key in keys if key not in self.models and key not in self.absent)

    def missing(self, key: str, absent: Absent) -> "ServingState":
        """A model does not serve."""
        return self._replace(absent={**self.absent, key: absent})

    def removed(self, key: str) -> "ServingState":
        """A model no longer serves."""
        self._check_removable(key)
        origin = self.models[key].current._replace(copy=None)
        models = _without(self.models, key)
        return self._replace(models=models).missing(key, Absent(Absence.UNLOADED, origin))

    def split(self, parts: Parts) -> "ServingState":
        """The requests for the first of ``parts`` are shared out; all for it ends a split."""
        (key, own), *_ = parts
        splits = _without(self.splits, key)
        return self._replace(splits=splits if own == ALL else {**splits, key: parts})

    def shadow(self, key: str, part: int) -> "ServingState":
        """A version beside a model gets copies of a part of its images, in per cent; 0 ends it."""
        others = _without(self.shadows, self.beside(key))
        for other in others if part else ():
            if name_of(other) == name_of(key):
                raise ReloadRefused(
                    f"{other} gets copies already: end that with `models shadow {other} 0%`"
                )
        return self._replace(shadows={**others, key: part} if part else others)

    def forgotten(self, key: str) -> "ServingState":
        """A model that does not serve is no longer listed, and its bundle not known."""
        return self.unwatched(key)._replace(absent=_without(self.absent, key))

    def unwatched(self, key: str) -> "ServingState":
        """The bundle of this key has gone from the watched folder: if it comes back, it is new."""
        return self._replace(watched=_without(self.watched, key))

    def promoted(self, key: str) -> "ServingState":
        """A version beside a model replaces it, which ends splits and copies of the model.

        It is no longer one of the watched folder, which has it under another name.
        """
        name = self.there(name_of(self.beside(key)))
        current = self.models[key].current._replace(name=name, label="", watched=False)
        origins = Origins(current, self.models[name].current)
        return ServingState(
            {**_without(self.models, key), name: origins},
            name if key == self.default else self.default,
            self.absent,
            _without(self.splits, name),
            {each: part for each, part in self.shadows.items() if name_of(each) != name},
            self.watched,
        )

    def _still_absent(self, key: str, origin: Origin) -> dict[str, Absent]:
        """The models that do not serve, without those that this one ends.

        These are its own key, and a failed attempt to load the same bundle under the same name.
        """
        return {
            each: other
            for each, other in self.absent.items()
            if each != key
            and not (other.absence is Absence.FAILED and other.origin.is_met_by(origin))
        }

    def _beside(self, key: str) -> list[str]:
        """The versions beside a model."""
        return [each for each in self.models if name_of(each) == key and each != key]

    def _check_removable(self, key: str) -> None:
        if key == self.default:
            raise ReloadRefused(
                f"the model {key} is the default: make another one the default first"
            )
        if beside := self._beside(key):
            raise ReloadRefused(f"{', '.join(beside)} is beside the model {key}: unload it first")
        for name, parts in self.splits.items():
            if key in dict(parts):
                raise ReloadRefused(
                    f"{key} gets a part of the requests for {name}: end that with "
                    f"`models split {name}={ALL}`"
                )
        if key in self.shadows:
            raise ReloadRefused(f"{key} gets copies: end that with `models shadow {key} 0%`")


def _without(mapping: Mapping[str, V], key: str) -> dict[str, V]:
    return {each: value for each, value in mapping.items() if each != key}
