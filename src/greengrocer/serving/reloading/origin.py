"""Where a loaded model came from: what a service needs to load the same one again."""

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import NamedTuple

from greengrocer.model_names import label_of, name_of, parse_source
from greengrocer.pipeline import Pipeline
from greengrocer.safe_text import MAX_NAME
from greengrocer.stores.address import PIN


class Origin(NamedTuple):
    """The bundle of a model, and the name that the model was given; None: the bundle's own.

    ``bundle`` is a name, a directory or an address, as the operator wrote it. ``copy`` is the
    directory of the copy of it that an engine process keeps, where there is one. ``watched`` says
    that it was loaded from the watched folder, and not on an order.
    """

    name: str | None
    bundle: str
    copy: Path | None = None
    label: str = ""
    watched: bool = False

    @property
    def last_name(self) -> str:
        """The last part of the bundle's path, by which a person knows it, as a model's name."""
        last = PurePath(self.bundle.partition(PIN)[0]).name
        return re.sub(r"[^a-z0-9]+", "-", last.lower()).strip("-")[:MAX_NAME] or "model"

    def is_met_by(self, loaded: "Origin") -> bool:
        """Whether ``loaded`` is what this was to be: its bundle, under its name if it has one."""
        named = (self.name, self.label)
        return self.bundle == loaded.bundle and named in ((None, ""), (loaded.name, loaded.label))

    @classmethod
    def of(cls, key: str | None, bundle: str) -> "Origin":
        """The origin of a model that is to have this key."""
        return cls(key and name_of(key), bundle, label=label_of(key or ""))

    @classmethod
    def parsed(cls, text: str) -> "Origin":
        """The origin that a setting or a flag names, as ``shop=runs/shop``."""
        return cls.of(*parse_source(text))


class Loaded(NamedTuple):
    """A verified and warm pipeline, its origin, and the seconds that one image took."""

    pipeline: Pipeline
    origin: Origin
    seconds: float

    @contextmanager
    def dropped_if_refused(self) -> Iterator[None]:
        """Keep nothing of a model that is not to serve: not its memory, nor its bundle's copy."""
        try:
            yield
        except BaseException:
            self.pipeline.close()
            if self.origin.copy is not None:
                shutil.rmtree(self.origin.copy, ignore_errors=True)
            raise


# Loads and warms a bundle, as the default model or one beside it; raises UsageError.
Load = Callable[[Origin, bool], Loaded]


class Origins(NamedTuple):
    """The origins of a model's current version and of the one before it."""

    current: Origin
    previous: Origin | None = None
