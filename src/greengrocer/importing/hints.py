"""What lies beside a model or in it: Hugging Face's and timm's configs, Ultralytics' metadata."""

import ast
import json
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from greengrocer.bundles.manifest import first_mistake
from greengrocer.errors import UsageError
from greengrocer.importing.configs import HuggingFace, HuggingFaceNames, Timm, Ultralytics
from greengrocer.importing.labels import Names
from greengrocer.importing.preprocessing import PRESETS, Preprocessing
from greengrocer.importing.source import Source
from greengrocer.regular_files import MAX_SETTINGS_BYTES, read_regular
from greengrocer.safe_text import MAX_NAME, one_line, words_of

HUGGING_FACE, CONFIG = "preprocessor_config.json", "config.json"
MOST_METADATA = 1_000_000  # characters
INSTEAD = "mend it, or move it away and give --mean, --std, --size and --crop"

Form = TypeVar("Form", bound=BaseModel)


class Found(NamedTuple):
    """What a file says of a model: how its images are made, and the names of its classes."""

    preprocessing: Preprocessing | None = None
    names: Names | None = None


def find_hints(source: Source, config: Path | None = None) -> Found:
    """What the files beside ``source`` say, or the ``config`` that a person named.

    Raises UsageError for a file that cannot be read, and for a model that is no classifier.
    """
    beside = source.path.parent
    named = [config] if config is not None else [beside / HUGGING_FACE, beside / CONFIG]
    preprocessing, names = None, None
    for path in named:
        if config is None and not path.is_file():
            continue
        tree = _read(path)
        preprocessing = preprocessing or _preprocessing(tree, path)
        names = names or _names(tree, path)
    if preprocessing is None and "task" in source.metadata:
        return _ultralytics(source, names)
    return Found(preprocessing, names)


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
    form: type[HuggingFace | Timm] = HuggingFace
    if "image_mean" not in tree and "do_normalize" not in tree:
        form, tree = Timm, tree.get("pretrained_cfg", tree)
        if not isinstance(tree, dict) or not {"crop_pct", "mean"} <= set(tree):
            return None
    return _validated(form, tree, str(path), INSTEAD).preprocessing(str(path))


def _names(tree: dict[str, Any], path: Path) -> Names | None:
    """Hugging Face's ``id2label``, or timm's ``label_names``."""
    names = tree.get("id2label") or tree.get("label_names")
    if not isinstance(names, list | dict):
        return None
    found = _validated(HuggingFaceNames, {"id2label": names}, str(path), "give --labels")
    return Names(found.classes(), str(path))


def _ultralytics(source: Source, names: Names | None) -> Found:
    """What ``yolo export`` writes into the graph: names, imgsz, task."""
    metadata = source.metadata
    if metadata["task"] != "classify":
        raise UsageError(
            f"{source.path} is a model for the task {one_line(metadata['task'], MAX_NAME)!r}: only "
            "one that was made to classify can be imported"
        )
    where = f"the metadata of {source.path}"
    instead = "give --labels, --size and --preset ultralytics"
    try:
        tree = {name: _literal(metadata[name]) for name in ("names", "imgsz") if name in metadata}
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
        reason = one_line(words_of(error), 200)
        raise UsageError(f"{where} has an unknown form ({reason}): {instead}") from error
    told = _validated(Ultralytics, tree, where, instead)
    preset = PRESETS["ultralytics"]
    found = Preprocessing(
        preset.mean, preset.std, preset.shape, told.size(), preset.crop, origin="its metadata"
    )
    if names is None and told.names is not None:
        names = Names(told.classes(), where)
    return Found(found, names)


def _literal(text: str) -> Any:
    """The Python literal ``text``; raises what its parser does, and ValueError if it is long."""
    if len(text) > MOST_METADATA:
        raise ValueError(f"{len(text):,} characters")
    return ast.literal_eval(text)


def _validated(form: type[Form], tree: Any, where: str, instead: str) -> Form:
    try:
        return form.model_validate(tree)
    except ValidationError as error:
        mistake = one_line(first_mistake(error), 300)
        raise UsageError(f"{where} has an unknown form ({mistake}): {instead}") from error
