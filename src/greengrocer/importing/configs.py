"""The forms of the files in which frameworks write how images are made. Other parts are ignored."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from greengrocer.importing.preprocessing import (
    WHITE,
    Preprocessing,
    Resample,
    Shape,
    Triple,
    triple,
)

PILLOW: dict[int, Resample] = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
CONVNEXT_SQUEEZES = 384  # pixels: from there on its processor cuts nothing off
SHAPES: dict[str, Shape] = {"center": "crop", "squash": "squeeze", "border": "letterbox"}


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _numbered(value: Any) -> Any:
    """Pillow's number of a filter as its name."""
    if isinstance(value, int) and not isinstance(value, bool):
        return PILLOW.get(value, value)
    return _lower(value)


def _one_or_three(values: tuple[float, ...]) -> tuple[float, ...]:
    if len(values) not in (1, 3):
        raise ValueError("one number or three are expected")
    return values


def _in_order(names: Any) -> Any:
    """``{"0": "fig", "1": "lime"}`` as a list; ids must be 0, 1, 2, ..."""
    if not isinstance(names, dict):
        return names
    by_id = {str(key): name for key, name in names.items()}
    ids = [str(index) for index in range(len(names))]
    if not by_id.keys() == set(ids):
        raise ValueError("the class ids are not 0, 1, 2, ...")
    return [by_id[each] for each in ids]


def _as_size(value: Any) -> Any:
    return value if value is None or isinstance(value, dict) else {"side": value}


def _twice(value: Any) -> Any:
    return (value, value) if isinstance(value, int | float) else value


Side = Annotated[int, Field(ge=1, le=10_000)]  # pixels
Part = Annotated[float, Field(ge=-100_000, le=100_000)]  # of a mean or a deviation
Parts = Annotated[tuple[Part, ...], AfterValidator(_one_or_three)]
Share = Annotated[float, Field(ge=0.05, le=1)]
Filter = Annotated[Resample, BeforeValidator(_lower)]
NumberedFilter = Annotated[Resample, BeforeValidator(_numbered)]
ClassNames = Annotated[tuple[str, ...], BeforeValidator(_in_order)]


class _Config(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="ignore", allow_inf_nan=False, coerce_numbers_to_str=True
    )


class HuggingFaceNames(_Config):
    """The names of the classes, by their ids or in their order."""

    id2label: ClassNames

    def classes(self) -> tuple[str, ...]:
        """In the order of the class ids."""
        return self.id2label


class Size(_Config):
    """A size as Hugging Face writes it; ``side`` is one number, which is either's or both."""

    side: Side | None = None
    height: Side | None = None
    width: Side | None = None
    shortest_edge: Side | None = None

    @model_validator(mode="after")
    def _told(self) -> Self:
        known = self.side or self.shortest_edge or (self.height and self.width)
        if not known:
            raise ValueError("neither shortest_edge nor height and width are there")
        return self

    def sides(self) -> tuple[int, int]:
        """Width and height."""
        one = self.side or self.shortest_edge or 0
        return self.width or one, self.height or one


Sides = Annotated[Size, BeforeValidator(_as_size)]


class HuggingFace(_Config):
    """``preprocessor_config.json``."""

    do_normalize: bool = True
    do_rescale: bool | None = None
    rescale_factor: Annotated[float, Field(ge=1e-5, le=1)] | None = None
    image_mean: Parts | None = None
    image_std: Parts | None = None
    size: Sides
    do_center_crop: bool | None = None
    crop_size: Sides | None = None
    crop_pct: Share | None = None
    resample: NumberedFilter = "bilinear"
    image_processor_type: str | None = None
    feature_extractor_type: str | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.do_normalize and (self.image_mean is None or self.image_std is None):
            raise ValueError("image_mean or image_std is missing")
        if self.do_center_crop and self.crop_size is None:
            raise ValueError("crop_size is missing")
        if self.do_center_crop and not (self.size.side or self.size.shortest_edge):
            raise ValueError("a crop from a squeezed image")
        return self

    def preprocessing(self, origin: str) -> Preprocessing:
        """How its processor makes images."""
        unit = WHITE if self.rescale_factor is None else 1 / self.rescale_factor
        if self.do_rescale is False:
            unit = 1.0
        mean, std = (self.image_mean, self.image_std) if self.do_normalize else (None, None)
        shape, size, resize = self._shape()
        return Preprocessing(
            mean=_times(mean or (0.0,), unit),
            std=_times(std or (1.0,), unit),
            shape=shape,
            size=size,
            resize=resize,
            resample=self.resample,
            centre="floor",
            origin=origin,
        )

    def _shape(self) -> tuple[Shape, tuple[int, int], int | None]:
        """The shape, the size (width, height), and the shorter side of what a crop is cut from."""
        types = f"{self.image_processor_type} {self.feature_extractor_type}".lower()
        convnext = "convnext" in types
        side = self.size.shortest_edge
        if convnext or self.do_center_crop:
            side = side or self.size.side
        if side is None:
            return "squeeze", self.size.sides(), None
        if convnext and side >= CONVNEXT_SQUEEZES:
            return "squeeze", (side, side), None
        if convnext:
            return "crop", (side, side), int(side / (self.crop_pct or 224 / 256))
        if self.do_center_crop and self.crop_size is not None:
            return "crop", self.crop_size.sides(), side
        return "crop", (side, side), side


class Timm(_Config):
    """timm's ``config.json``, or the ``pretrained_cfg`` in it."""

    input_size: tuple[Side, Side, Side]
    mean: Parts
    std: Parts
    crop_pct: Share
    crop_mode: Literal["center", "squash", "border"] = "center"
    interpolation: Filter = "bicubic"

    def preprocessing(self, origin: str) -> Preprocessing:
        """How timm makes images."""
        _, height, width = self.input_size
        return Preprocessing(
            mean=_times(self.mean, WHITE),
            std=_times(self.std, WHITE),
            shape=SHAPES[self.crop_mode],
            size=(width, height),
            crop=self.crop_pct,
            resample=self.interpolation,
            origin=origin,
        )


class Ultralytics(_Config):
    """What ``yolo export`` writes into the metadata of a graph."""

    names: ClassNames | None = None
    imgsz: Annotated[tuple[Side, Side], BeforeValidator(_twice)] = (224, 224)

    def classes(self) -> tuple[str, ...]:
        """The names in the order of the class ids."""
        return self.names or ()

    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.imgsz[1], self.imgsz[0]


def _times(values: tuple[float, ...], unit: float) -> Triple:
    return triple([value * unit for value in values], "a mean")
