"""A recipe: everything that decides how a model is trained, in one TOML file."""

import json
import sys
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from tqdm import tqdm

from greengrocer.errors import UsageError
from greengrocer.imaging.geometry import Geometry
from greengrocer.imaging.views import Views
from greengrocer.regular_files import MAX_SETTINGS_BYTES, read_regular
from greengrocer.safe_text import one_line
from greengrocer.suggestions import did_you_mean


class Part(BaseModel):
    """A table of the recipe: closed and frozen, so that a typing error cannot pass unseen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Data(Part):
    """Which images the recipe may train on and hold out; never the split "test"."""

    splits: tuple[Literal["train", "val"], ...] = ("train",)
    refit: bool = Field(
        False,
        description="whether the model that ships is a second one, which learns from the held-out "
        "images as well, once they have judged and calibrated the first; a split val never "
        "trains, and folds always do so",
    )
    folds: Literal["scenes", "shops"] = Field(
        "scenes",
        description="what a fold holds out: scenes, or all scenes that look as if they were taken "
        "in one shop, which are about as hard as other shops",
    )
    seed: int | None = Field(
        None,
        ge=0,
        lt=2**32,
        description="seed of what is held out, where it is not the recipe's: networks of several "
        "seeds teach together only if they held out the same",
    )

    @field_validator("splits")
    @classmethod
    def _known_choice(cls, splits: tuple[str, ...]) -> tuple[str, ...]:
        if splits not in (("train",), ("train", "val")):
            raise ValueError('choose ["train"] or ["train", "val"]')
        return splits


class Augmentation(Part):
    """How a training image is varied. Fractions are of the image, angles in degrees."""

    image_size: int = Field(224, ge=32, le=1024, description="side of the random crop, in pixels")
    initial_image_size: int | None = Field(
        None, ge=32, le=1024, description="image_size of the first epoch (progressive resizing)"
    )
    scale: tuple[float, float] = Field(
        (0.35, 1.0), description="area of the random crop, smallest and largest"
    )
    ratio: tuple[float, float] = Field(
        (0.6, 1.67), description="width over height of the random crop, smallest and largest"
    )
    rotation_degrees: float = Field(20.0, ge=0, le=180, description="largest rotation, either way")
    hflip: float = Field(0.5, ge=0, le=1, description="probability of a horizontal flip")
    color_jitter: float = Field(
        0.3, ge=0, lt=1, description="largest change of brightness, contrast and saturation"
    )
    degrade_prob: float = Field(
        0.1, ge=0, le=1, description="probability of blur, noise or JPEG artefacts"
    )

    def grown(self, epoch: float, epochs: int) -> "Augmentation":
        """The same with the ``image_size`` of ``epoch``, counted from 0: it grows evenly.

        Small crops teach the coarse features for less (Tan and Le, EfficientNetV2, ICML 2021). The
        last quarter of the epochs has the full size; sizes are multiples of 16.
        """
        if self.initial_image_size is None or epoch >= 0.75 * epochs:
            return self
        share = epoch / max(1.0, 0.75 * epochs)
        size = self.initial_image_size + share * (self.image_size - self.initial_image_size)
        return self.model_copy(update={"image_size": 16 * round(size / 16)})


class Optimisation(Part):
    """AdamW with a linear warm-up and a cosine decay; an EMA of the weights is what is kept."""

    epochs: int = Field(15, ge=1)
    batch_size: int = Field(32, ge=1)
    lr: float = Field(5e-4, gt=0, description="peak learning rate of the backbone's last stage")
    head_lr: float = Field(3e-3, gt=0, description="peak learning rate of the head")
    weight_decay: float = Field(0.02, ge=0)
    warmup_epochs: float = Field(1.0, ge=0)
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    coarse_loss_weight: float = Field(
        0.3, ge=0, description="weight of the cross-entropy of the coarse class"
    )
    dropout: float = Field(0.2, ge=0, lt=1)
    ema_decay: float = Field(
        0.995, ge=0, lt=1, description="decay of the exponential moving average of the weights"
    )
    linear_probe_epochs: int = Field(
        0, ge=0, description="augmented epochs that first train the head alone (LP-FT)"
    )
    layer_decay: float = Field(
        1.0, gt=0, le=1, description="factor of lr from each stage to the one below it"
    )
    frozen_stages: int = Field(0, ge=0, description="first stages whose weights do not change")
    frozen_batch_norm: bool = Field(
        False, description="whether batch norms keep the running statistics they start with"
    )
    class_balance: float = Field(
        0.0,
        ge=0,
        le=1,
        description="0: images are drawn as they are; 1: each class as often; 0.5: by the root of "
        "its size",
    )
    wise_ft_alpha: float = Field(
        1.0,
        ge=0,
        le=1,
        description="share of the trained weights in what ships; the rest are those after the "
        "linear probe (WiSE-FT)",
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto: bfloat16 on a GPU, or on a processor that has it"
    )

    @model_validator(mode="after")
    def _averaged_with_a_probe(self) -> Self:
        if self.wise_ft_alpha < 1 and not self.linear_probe_epochs:
            raise ValueError("a wise_ft_alpha below 1 needs linear_probe_epochs")
        return self


class Distillation(Part):
    """Knowledge distillation, where ``train --teacher`` names teachers."""

    weight: float = Field(0.0, ge=0, le=1, description="the distillation loss's share of the loss")
    temperature: float = Field(2.0, gt=0, description="by which all logits are divided in it")


class Export(Part):
    """What the bundle's model sees, and how it is quantised and calibrated."""

    image_size: int = Field(
        288,
        ge=32,
        le=1024,
        description="side of the model's input, in pixels; of the smallest view, where there are "
        "several",
    )
    views: tuple[float, ...] = Field(
        (1.0,),
        description="shares of the frame's side, as [1.0, 0.6667]: squares about its middle that "
        "the model looks at, each scaled to image_size; it answers by their mean, and each costs "
        "the multiply-adds of one; of a single one nothing else is read",
    )
    cascade: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="where the first of views alone gives a class at least this probability, "
        "before calibration, the model does not look at the others",
    )
    calibration_images: int = Field(
        400, ge=1, description="training images that set the ranges of the int8 quantisation"
    )
    known_quantile: float = Field(
        0.03, gt=0, lt=1, description="share of held-out images that may be called unknown"
    )
    answer_precision: float = Field(
        0.96, gt=0, lt=1, description="precision that the answers of each level must have"
    )
    max_graph_megabytes: float | None = Field(
        None, gt=0, description="largest size of the ONNX graph; a larger one is refused"
    )
    max_weights_megabytes: float | None = Field(
        None, gt=0, description="largest size of the float weights; larger ones are refused"
    )
    logit_adjustment: float = Field(
        0.0,
        ge=0,
        le=1,
        description="how much of the log of a class's share of the training images is taken from "
        "its logit: with 1 the model answers as if each class were as frequent as the others",
    )
    judged_sizes: tuple[float, ...] = Field(
        (1.0,),
        description="apparent sizes at which held-out images are answered: at 0.5 they are as from "
        "twice as far away; 1 is among them, and those from 0.6 to 1.5 calibrate together",
    )

    @field_validator("judged_sizes")
    @classmethod
    def _known_sizes(cls, sizes: tuple[float, ...]) -> tuple[float, ...]:
        known = 1 in sizes and len(set(sizes)) == len(sizes)
        if not known or not all(0.25 <= size <= 4 for size in sizes):
            raise ValueError("give sizes from 0.25 to 4, each once, with 1: as [0.5, 0.7, 1, 1.4]")
        return tuple(sorted(sizes))

    @model_validator(mode="after")
    def _views_possible(self) -> Self:
        self.seen()
        return self

    def seen(self) -> Views:
        """What the model looks at of its input, in pixels."""
        found = Views.of_shares(self.views, self.image_size, self.cascade)
        return Views.whole(self.image_size) if len(self.views) == 1 else found

    def geometry(self) -> Geometry:
        """What the model's input is of an image."""
        side = self.seen().input_side
        share = self.views[0] if len(self.views) == 1 else 1.0
        return Geometry(width=side, height=side, share=share)


# The names that settings had before. They are accepted, with a warning, until 1.0.
RENAMED: Mapping[str, str] = {
    "network": "backbone",
    "augmentation.area": "augmentation.scale",
    "augmentation.aspect": "augmentation.ratio",
    "augmentation.colour": "augmentation.color_jitter",
    "augmentation.degrade": "augmentation.degrade_prob",
    "augmentation.first_size": "augmentation.initial_image_size",
    "augmentation.flip": "augmentation.hflip",
    "augmentation.rotation": "augmentation.rotation_degrees",
    "augmentation.size": "augmentation.image_size",
    "export.calibration_pictures": "export.calibration_images",
    "export.size": "export.image_size",
    "optimisation.average": "optimisation.ema_decay",
    "optimisation.batch": "optimisation.batch_size",
    "optimisation.coarse_weight": "optimisation.coarse_loss_weight",
    "optimisation.frozen_norms": "optimisation.frozen_batch_norm",
    "optimisation.head_rate": "optimisation.head_lr",
    "optimisation.probe_epochs": "optimisation.linear_probe_epochs",
    "optimisation.rate": "optimisation.lr",
}


class Recipe(Part):
    """One published model's training, reproducible from its seed."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    seed: int = Field(0, ge=0, lt=2**32)
    backbone: str = Field(
        max_length=200, description="name of an installed backbone, as efficientnet-lite0"
    )
    pretrained: bool = Field(True, description="whether the backbone starts from published weights")
    data: Data = Data()
    augmentation: Augmentation = Augmentation()
    optimisation: Optimisation = Optimisation()
    distillation: Distillation = Distillation()
    export: Export = Export()

    @property
    def split_seed(self) -> int:
        """The seed of what is held out."""
        return self.seed if self.data.seed is None else self.data.seed


def read_recipe(path: Path) -> Recipe:
    """Read and check the recipe at ``path``; warns, in one line, of names from RENAMED.

    Raises UsageError, in one line, for a file that is missing, not TOML, or not a recipe.
    """
    try:
        settings = tomllib.loads(read_regular(path, MAX_SETTINGS_BYTES).decode())
        old = with_current_names(settings, path)
        recipe = Recipe.model_validate(settings)
    except OSError as error:
        raise UsageError(f"recipe {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"recipe {path} is not TOML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            hint = _nearest(first["loc"])
            raise UsageError(f"recipe {path}: there is no setting {where}{hint}") from error
        raise UsageError(f"recipe {path}: {where}: {first['msg']}") from error
    if old:
        renamed = ", ".join(f"{name} is now {RENAMED[name]}" for name in old)
        tqdm.write(
            f"warning: recipe {path} has settings with old names, which 1.0 will refuse: {renamed}",
            file=sys.stderr,
        )
    return recipe


def _nearest(where: tuple[int | str, ...]) -> str:
    """What was meant by the unknown setting at ``where``, as the end of a message."""
    table = Recipe.model_fields.get(str(where[0])) if len(where) > 1 else None
    part = table.annotation if table is not None else Recipe
    known = part.model_fields if isinstance(part, type) and issubclass(part, Part) else {}
    return did_you_mean(str(where[-1]), known)


def as_toml(recipe: Recipe, comment: str) -> str:
    """``recipe`` as ``read_recipe`` reads it, below a ``comment`` of one line."""
    lines, tables = [f"# {one_line(comment)}"], []
    for name, value in recipe.model_dump(mode="json", exclude_none=True).items():
        if isinstance(value, dict):
            settings = (f"{key} = {json.dumps(each)}" for key, each in value.items())
            tables += ["", f"[{name}]", *settings]
        else:
            lines.append(f"{name} = {json.dumps(value)}")
    return "\n".join([*lines, *tables]) + "\n"


def with_current_names(settings: dict[str, Any], path: Path | str) -> list[str]:
    """Give what ``settings`` holds under a name of RENAMED its current one; returns the old names.

    Raises UsageError, which names ``path``, where a setting has a value under both names.
    """
    found = []
    for old, new in RENAMED.items():
        *table, name = old.split(".")
        part = settings.get(table[0]) if table else settings
        if not isinstance(part, dict) or name not in part:
            continue
        new_name = new.rpartition(".")[2]
        if new_name in part:
            raise UsageError(f"recipe {path} has both {old} and {new}, its new name: keep {new}")
        part[new_name] = part.pop(name)
        found.append(old)
    return found


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

    Settings that the text lacks have their defaults, which is what that run did. Old names are
    accepted without a warning: nobody can change what a checkpoint or a manifest holds.
    """
    try:
        settings = json.loads(text)
        if not isinstance(settings, dict):
            return None
        with_current_names(settings, "of an earlier run")
        return Recipe.model_validate(settings)
    except (ValueError, UsageError):  # a ValidationError is a ValueError
        return None
