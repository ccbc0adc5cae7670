"""A recipe: everything that decides how a model is trained, in one TOML file."""

import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from greengrocer.errors import UsageError
from greengrocer.regular_files import MAX_SETTINGS_BYTES, read_regular


class Part(BaseModel):
    """A table of the recipe: closed and frozen, so that a typing error cannot pass unseen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Data(Part):
    """Which images the recipe may train on and hold out; never the split "test"."""

    splits: tuple[Literal["train", "val"], ...] = ("train",)

    @field_validator("splits")
    @classmethod
    def _known_choice(cls, splits: tuple[str, ...]) -> tuple[str, ...]:
        if splits not in (("train",), ("train", "val")):
            raise ValueError('choose ["train"] or ["train", "val"]')
        return splits


class Augmentation(Part):
    """How a training image is varied. Fractions are of the image, angles in degrees."""

    size: int = Field(224, ge=32, le=1024, description="side of the training crop, pixels")
    first_size: int | None = Field(None, ge=32, le=1024, description="that of the first epoch")
    area: tuple[float, float] = Field((0.35, 1.0), description="crop area, smallest and largest")
    aspect: tuple[float, float] = Field((0.6, 1.67), description="crop width over height")
    rotation: float = Field(20.0, ge=0, le=180, description="largest rotation, either way")
    flip: float = Field(0.5, ge=0, le=1, description="chance of a mirrored image")
    colour: float = Field(0.3, ge=0, lt=1, description="brightness, contrast, saturation jitter")
    degrade: float = Field(0.1, ge=0, le=1, description="chance of blur, noise or JPEG artefacts")

    def grown(self, epoch: int, epochs: int) -> "Augmentation":
        """The same with the size of ``epoch``, from 0: from the first size evenly to the last.

        Small crops teach the coarse features for less (Tan and Le, EfficientNetV2, ICML 2021). The
        last quarter of the epochs has the full size; sizes are multiples of 16.
        """
        if self.first_size is None:
            return self
        share = min(1.0, epoch / max(1.0, 0.75 * epochs))
        size = self.first_size + share * (self.size - self.first_size)
        return self.model_copy(update={"size": 16 * round(size / 16) if share < 1 else self.size})


class Optimisation(Part):
    """AdamW with a linear warm-up and a cosine decay; an EMA of the weights is what is kept."""

    epochs: int = Field(15, ge=1)
    batch: int = Field(32, ge=1)
    rate: float = Field(5e-4, gt=0, description="learning rate of the backbone")
    head_rate: float = Field(3e-3, gt=0, description="learning rate of the new head")
    weight_decay: float = Field(0.02, ge=0)
    warmup_epochs: float = Field(1.0, ge=0)
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    coarse_weight: float = Field(0.3, ge=0, description="weight of the summed coarse loss")
    dropout: float = Field(0.2, ge=0, lt=1)
    average: float = Field(0.995, ge=0, lt=1, description="decay of the weights' moving average")
    probe_epochs: int = Field(0, ge=0, description="augmented epochs that fit the head alone first")
    layer_decay: float = Field(1.0, gt=0, le=1, description="of the rate, a stage below the head")
    frozen_stages: int = Field(0, ge=0, le=8, description="lowest stages that keep their weights")
    frozen_norms: bool = Field(False, description="batch norms keep the statistics they start with")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="of a step; auto: bfloat16 on a GPU or a processor that has it"
    )


class Distillation(Part):
    """What the student takes from its teachers, where ``train --teacher`` names some."""

    weight: float = Field(0.0, ge=0, le=1, description="the teachers' share of the loss")
    temperature: float = Field(2.0, gt=0, description="softens what is taught")


class Export(Part):
    """The geometry and precision of the bundle."""

    size: int = Field(288, ge=32, le=1024, description="side of the image that the model sees")
    calibration_pictures: int = Field(400, ge=1, description="training images that set ranges")
    known_quantile: float = Field(0.03, gt=0, lt=1, description="known images called unknown")
    answer_precision: float = Field(0.96, gt=0, lt=1, description="of what is named, by level")
    max_graph_megabytes: float | None = Field(None, gt=0, description="a larger graph is refused")
    max_weights_megabytes: float | None = Field(None, gt=0, description="the same for the weights")


class Recipe(Part):
    """One published model's training, reproducible from its seed."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    seed: int = 0
    network: Literal["efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2"]
    pretrained: bool = True
    data: Data = Data()
    augmentation: Augmentation = Augmentation()
    optimisation: Optimisation = Optimisation()
    distillation: Distillation = Distillation()
    export: Export = Export()


def read_recipe(path: Path) -> Recipe:
    """Read and check the recipe at ``path``.

    Raises UsageError, in one line, for a file that is missing, not TOML, or not a recipe.
    """
    try:
        return Recipe.model_validate(tomllib.loads(read_regular(path, MAX_SETTINGS_BYTES).decode()))
    except OSError as error:
        raise UsageError(f"recipe {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"recipe {path} is not TOML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"recipe {path}: {where}: {first['msg']}") from error


def differences(then: Recipe, now: Recipe, without: Collection[str] = ()) -> list[str]:
    """What differs between two recipes, such as "seed was 3, is 4"; tables ``without`` do not."""
    old, new = then.model_dump(exclude=set(without)), now.model_dump(exclude=set(without))
    return [
        f"{name} was {_shown(was)}, is {_shown(value)}"
        for (name, was), (_, value) in zip(_settings(old), _settings(new), strict=True)
        if was != value
    ]


def _settings(table: dict[str, Any], prefix: str = "") -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    for name, value in table.items():
        inside = isinstance(value, dict)
        found += _settings(value, f"{name}.") if inside else [(prefix + name, value)]
    return found


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return " + ".join(map(str, value))
    return "not set" if value is None else str(value)


def read_back(text: str) -> Recipe | None:
    """The recipe in the JSON ``text`` of an earlier run; None if this version cannot follow it.

    Settings that the text does not know have their defaults, which is what that run did.
    """
    try:
        return Recipe.model_validate_json(text)
    except ValidationError:
        return None
