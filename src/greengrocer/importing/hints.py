"""What lies beside a model or in it: Hugging Face's and timm's configs, Ultralytics' metadata."""

import ast
import json
from pathlib import Path
from typing import Any

from greengrocer.errors import UsageError
from greengrocer.importing.preprocessing import (
    PRESETS,
    WHITE,
    ZERO,
    Found,
    Preprocessing,
    Resample,
    Shape,
    Triple,
    triple,
)
from greengrocer.importing.source import Source
from greengrocer.regular_files import MAX_SETTINGS_BYTES, read_regular

HUGGING_FACE, CONFIG = "preprocessor_config.json", "config.json"
PILLOW: dict[int, Resample] = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
CONVNEXT_SQUEEZES = 384  # pixels: from there on its processor cuts nothing off


def find_hints(source: Source, config: Path | None = None) -> Found:
    """What the files beside ``source`` say, or the ``config`` that a person named.

    Raises UsageError for a file that cannot be read, and for a model that is no classifier.
    """
    beside = source.path.parent
    named = [config] if config is not None else [beside / HUGGING_FACE, beside / CONFIG]
    preprocessing, classes = None, None
    for path in named:
        if config is None and not path.is_file():
            continue
        tree = _read(path)
        preprocessing = preprocessing or _preprocessing(tree, path)
        classes = classes or _labels(tree, path)
    if preprocessing is None and "task" in source.metadata:
        return _ultralytics(source, classes)
    return Found(preprocessing, classes)


def _read(path: Path) -> dict[str, Any]:
    try:
        tree = json.loads(read_regular(path, MAX_SETTINGS_BYTES))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not JSON: {error}") from error
    if not isinstance(tree, dict):
        raise UsageError(f"{path} is not a JSON object")
    return tree


def _preprocessing(tree: dict[str, Any], path: Path) -> Preprocessing | None:
    try:
        if "image_mean" in tree or "do_normalize" in tree:
            return _hugging_face(tree, path)
        timm = tree.get("pretrained_cfg", tree)
        return _timm(timm, path) if "crop_pct" in timm and "mean" in timm else None
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise UsageError(
            f"{path} has an unknown form ({type(error).__name__}: {error}): give --mean, --std, "
            "--size and --crop"
        ) from error


def _timm(tree: dict[str, Any], path: Path) -> Preprocessing:
    _, height, width = tree["input_size"]
    mode = tree.get("crop_mode", "center")
    shapes: dict[str, Shape] = {"center": "crop", "squash": "squeeze", "border": "letterbox"}
    return Preprocessing(
        mean=_times(tree["mean"], WHITE),
        std=_times(tree["std"], WHITE),
        shape=shapes[mode],
        size=(int(width), int(height)),
        crop=float(tree["crop_pct"]),
        resample=_resample(tree.get("interpolation", "bicubic")),
        origin=str(path),
    )


def _hugging_face(tree: dict[str, Any], path: Path) -> Preprocessing:
    unit = 1 / float(tree["rescale_factor"]) if tree.get("rescale_factor") else WHITE
    if tree.get("do_rescale") is False:
        unit = 1.0
    normalises = tree.get("do_normalize", True)
    mean = _times(tree["image_mean"], unit) if normalises else ZERO
    std = _times(tree["image_std"], unit) if normalises else (unit, unit, unit)
    shape, size, resize = _hugging_face_shape(tree)
    resample = tree.get("resample", 2)
    return Preprocessing(
        mean=mean,
        std=std,
        shape=shape,
        size=size,
        resize=resize,
        resample=PILLOW[resample] if isinstance(resample, int) else _resample(resample),
        centre="floor",
        origin=str(path),
    )


def _hugging_face_shape(tree: dict[str, Any]) -> tuple[Shape, tuple[int, int], int | None]:
    """The shape, the size (width, height), and the shorter side of what a crop is cut from."""
    size, crop = tree["size"], tree.get("crop_size")
    convnext = "convnext" in str(tree.get("image_processor_type", "")).lower() or (
        "convnext" in str(tree.get("feature_extractor_type", "")).lower()
    )
    if isinstance(size, int):
        shortest = bool(tree.get("do_center_crop")) or convnext
        size = {"shortest_edge": size} if shortest else {"height": size, "width": size}
    if convnext and "shortest_edge" in size:
        side = int(size["shortest_edge"])
        if side >= CONVNEXT_SQUEEZES:
            return "squeeze", (side, side), None
        return "crop", (side, side), int(side / float(tree.get("crop_pct", 224 / 256)))
    if tree.get("do_center_crop"):
        sides: dict[str, Any] = crop if isinstance(crop, dict) else {"height": crop, "width": crop}
        cut = int(sides["width"]), int(sides["height"])
        if "shortest_edge" not in size:
            raise ValueError("a crop from a squeezed image")
        return "crop", cut, int(size["shortest_edge"])
    if "shortest_edge" in size:
        side = int(size["shortest_edge"])
        return "crop", (side, side), side
    return "squeeze", (int(size["width"]), int(size["height"])), None


def _ultralytics(source: Source, classes: tuple[str, ...] | None) -> Found:
    """What ``yolo export`` writes into the graph: names, imgsz, task."""
    metadata = source.metadata
    if metadata["task"] != "classify":
        raise UsageError(
            f"{source.path} is a model for the task {metadata['task']!r}: only one that was made "
            "to classify can be imported"
        )
    try:
        names = ast.literal_eval(metadata.get("names", "None"))
        size = ast.literal_eval(metadata.get("imgsz", "224"))
        height, width = (size, size) if isinstance(size, int) else map(int, size)
        ordered = tuple(str(names[k]) for k in range(len(names))) if names else None
    except (ValueError, SyntaxError, KeyError, TypeError, RecursionError, MemoryError) as error:
        reason = str(error) or type(error).__name__
        raise UsageError(
            f"{source.path} has metadata of an unknown form ({reason}): give --labels, --size and "
            "--preset ultralytics"
        ) from error
    preset = PRESETS["ultralytics"]
    found = Preprocessing(
        preset.mean, preset.std, preset.shape, (width, height), preset.crop, origin="its metadata"
    )
    return Found(found, classes or ordered)


def _labels(tree: dict[str, Any], path: Path) -> tuple[str, ...] | None:
    """Hugging Face's ``id2label``, or timm's ``label_names``."""
    names = tree.get("id2label") or tree.get("label_names")
    if isinstance(names, list):
        return tuple(map(str, names))
    if not isinstance(names, dict):
        return None
    try:
        by_id = {int(key): str(name) for key, name in names.items()}
        return tuple(by_id[index] for index in range(len(by_id)))
    except (ValueError, KeyError) as error:
        raise UsageError(f"{path}: id2label does not name the ids 0, 1, 2, ...") from error


def _resample(name: str) -> Resample:
    for known in PILLOW.values():
        if known == name.lower():
            return known
    raise ValueError(f"interpolation {name!r}")


def _times(values: Any, unit: float) -> Triple:
    return triple([float(value) * unit for value in values], "a mean")
