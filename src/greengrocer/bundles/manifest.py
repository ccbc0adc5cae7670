"""A bundle's manifest: everything that serving needs to know of a model, in one JSON file."""

import json
import math
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from greengrocer.bundles.files import read, refused
from greengrocer.imaging.geometry import Geometry
from greengrocer.imaging.views import Views
from greengrocer.safe_text import check_name, check_text, one_line

MANIFEST = "manifest.json"
GRAPH = "model.onnx"
WEIGHTS = "weights.safetensors"
STATISTICS = "statistics.safetensors"

MAX_MANIFEST_BYTES = 1 << 20

MAX_FILE = 200  # characters of a file's path
MAX_TEXT = 10_000  # characters of a text that people read, or of one in the provenance

Name = Annotated[str, AfterValidator(check_name)]
Text = Annotated[str, AfterValidator(partial(check_text, limit=MAX_TEXT))]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


def _check_json(value: Any) -> Any:
    """``value``, any JSON, with texts that are safe to show; raises ValueError otherwise.

    NaN and infinity are no JSON, although Python reads and writes them.
    """
    if isinstance(value, str):
        check_text(value, MAX_TEXT)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is no number of JSON")
    elif isinstance(value, dict):
        for name, each in value.items():
            check_text(name, MAX_TEXT)
            _check_json(each)
    elif isinstance(value, list | tuple):
        for each in value:
            _check_json(each)
    return value


Provenance = Annotated[dict[str, Any], AfterValidator(_check_json)]


class Part(BaseModel):
    """A part of the manifest: closed and frozen, and its numbers are finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Golden(Part):
    """An image and the answer that every sound copy of the bundle gives for it."""

    file: str
    prediction: Name
    confidence: float = Field(ge=0, le=1)


class Network(Part):
    """What the torch engine needs beside the weights to build the trained network."""

    architecture: Name
    temperature: float = Field(gt=0)
    views: tuple[int, ...] | None = Field(
        None,
        description="sides in pixels of the squares about the input's middle that the network "
        "looks at, each scaled to the smallest; null: once, at all of it",
        exclude_if=lambda views: views is None,
    )
    cascade: float | None = Field(
        None,
        description="where the first view alone gives a class at least this probability, before "
        "calibration, the network does not look at the others; null: at all of them",
        exclude_if=lambda cascade: cascade is None,
    )


class Manifest(Part):
    """Labels, geometry, threshold, provenance, metrics and digests of one model."""

    format: int = Field(1, ge=1, le=1)
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=100)
    version: str = Field(pattern=r"^[0-9A-Za-z][0-9A-Za-z.+-]*$", max_length=100)
    description: Text = ""
    classes: tuple[Name, ...] = Field(min_length=2)
    coarse: tuple[Name, ...] | None = None
    coarse_of: tuple[int, ...] | None = Field(None, description="coarse id of each fine class")
    geometry: Geometry
    known_threshold: float | None = Field(
        ge=0, le=1, description="known: a score at or above it; null: the graph gives no score"
    )
    fine_threshold: float = Field(0, ge=0, le=1, description="confidence that names a fine class")
    coarse_threshold: float = Field(0, ge=0, le=1, description="the same for a coarse one")
    evidence: bool = Field(True, description="whether the graph gives evidence")
    calibrated: bool = Field(True, description="whether images set temperature and thresholds")
    network: Network | None = None
    provenance: Provenance = Field(default_factory=dict)
    metrics: dict[Name, float] = Field(default_factory=dict)
    goldens: tuple[Golden, ...] = Field(min_length=1)
    golden_tolerance: float = Field(0.1, gt=0, le=0.5, description="of a golden's confidence")
    files: dict[str, Sha256] = Field(description="SHA-256 of every file but the manifest")

    @model_validator(mode="after")
    def _classes_consistent(self) -> Self:
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("two classes have the same name")
        if (self.coarse is None) != (self.coarse_of is None):
            raise ValueError("coarse and coarse_of must both be given or both be absent")
        if self.coarse is not None and self.coarse_of is not None:
            if len(self.coarse_of) != len(self.classes):
                raise ValueError("coarse_of does not name one coarse class for each class")
            if set(self.coarse_of) != set(range(len(self.coarse))):
                raise ValueError("coarse_of and coarse do not match")
        return self

    @model_validator(mode="after")
    def _views_consistent(self) -> Self:
        if self.network is not None and self.network.cascade is not None and self.views is None:
            raise ValueError("network.cascade needs network.views")
        if self.views is not None:
            if self.geometry.width != self.geometry.height:
                raise ValueError("network.views need a square input")
            self.views.check()
        return self

    @property
    def views(self) -> Views | None:
        """What the network looks at, where that is not all of the input, once."""
        if self.network is None or self.network.views is None:
            return None
        return Views(self.geometry.width, self.network.views, self.network.cascade)

    @model_validator(mode="after")
    def _files_consistent(self) -> Self:
        for file in [GRAPH, *self.files, *(golden.file for golden in self.goldens)]:
            _check_inside(file)
            if file not in self.files:
                raise ValueError(f"files does not list {file}")
        return self


def read_manifest(directory: Path) -> Manifest:
    """Read and check the manifest in ``directory``.

    Raises BundleRefused, in one line, where it is missing, too large, or not a manifest.
    """
    text = read(directory, MANIFEST, MAX_MANIFEST_BYTES)
    try:
        manifest = Manifest.model_validate_json(text)
        json.loads(text, object_pairs_hook=_check_unique)
    except ValidationError as error:
        raise refused(directory, MANIFEST, one_line(first_mistake(error), 600), ":") from error
    except ValueError as error:
        raise refused(directory, MANIFEST, one_line(str(error), 600), ":") from error
    return manifest


def first_mistake(error: ValidationError) -> str:
    """Where a manifest is wrong, and how, in one line."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])  # empty where it is the text itself
    return f"{where}: {first['msg']}" if where else first["msg"]


def write_manifest(manifest: Manifest, directory: Path) -> None:
    """Write ``manifest`` into ``directory``, indented, for people read it too."""
    text = json.dumps(manifest.model_dump(mode="json"), indent=2, ensure_ascii=False)
    (directory / MANIFEST).write_text(text + "\n", encoding="utf-8")


def _check_unique(pairs: list[tuple[str, Any]]) -> None:
    """Refuse a repeated name: another reader might use its other value."""
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} is repeated")


def _check_inside(file: str) -> None:
    """Refuse a file that is not a plain relative path inside the bundle."""
    path = PurePosixPath(file)
    plain = len(file) <= MAX_FILE and file.isprintable() and "\\" not in file and str(path) == file
    if not plain or path.is_absolute() or ".." in path.parts:
        raise ValueError(f"{one_line(file, 80)!r} is not a plain relative path")
