"""What the HTTP half knows of the models that are served: a snapshot, replaced at each change."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from greengrocer.errors import ModelFailed, UnknownModel
from greengrocer.model_names import label_of, name_of
from greengrocer.ranking import ModelLabels
from greengrocer.safe_text import one_line
from greengrocer.serving.splits import Parts

SHOWN = 40  # characters of a name that a client sent


class Absence(StrEnum):
    """Why a model that was named does not serve."""

    FAILED = "failed"  # it could not be loaded
    UNLOADED = "unloaded"  # on an order


class ServedModel(NamedTuple):
    """A loaded model: its key, as ``shop`` or ``shop@next``, and what it knows."""

    key: str
    labels: ModelLabels


@dataclass(frozen=True)
class Catalogue:
    """The loaded models, the key of the default, and the keys of models that do not serve.

    ``splits`` has the parts of requests of a model's versions, by the model's key.
    """

    models: tuple[ServedModel, ...]
    default: str
    absent: tuple[tuple[str, Absence], ...] = ()
    splits: Mapping[str, Parts] = field(default_factory=dict)

    @property
    def first(self) -> ServedModel:
        """The default model."""
        return self.find(self.default)

    def find(self, key: str, version: str | None = None) -> ServedModel:
        """The model with this key or, where a version is given, any of its name that has it.

        Raises UnknownModel, or ModelFailed where it could not be loaded.
        """
        for model in self.models:
            if key == model.key and version in (None, model.labels.model.version):
                return model
        for model in self.models if version is not None else ():
            if key == name_of(model.key) and version == model.labels.model.version:
                return model
        if version is None and (key, Absence.FAILED) in self.absent:
            raise ModelFailed(
                f"the model {key} could not be loaded, until an operator repairs it: the service's "
                "log says why"
            )
        there = ", ".join(f"{model.key} {model.labels.model.version}" for model in self.models)
        asked = f'model "{one_line(key, SHOWN)}"'
        if version is not None:
            asked += f' with the version "{one_line(version, SHOWN)}"'
        raise UnknownModel(f"there is no {asked}: this server has {there}")

    def versions(self, name: str) -> tuple[str, ...]:
        """The versions of the model ``name`` that are loaded, that of the model itself first."""
        found = [model for model in self.models if name_of(model.key) == name]
        found.sort(key=lambda model: label_of(model.key) != "")
        return tuple(dict.fromkeys(model.labels.model.version for model in found))
