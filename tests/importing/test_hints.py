"""Files beside a model, and metadata in it, are a stranger's: what is odd is refused in a line."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from greengrocer.errors import UsageError
from greengrocer.importing.hints import Found, find_hints
from greengrocer.importing.source import Source

HALF = [0.5, 0.5, 0.5]
INFINITE = float("inf")
HUGGING_FACE = {"do_normalize": True, "image_mean": HALF, "image_std": HALF, "size": 32}
TIMM = {"crop_pct": 0.9, "mean": HALF, "std": HALF, "input_size": [3, 32, 32]}
YOLO = {"task": "classify", "names": "{0: 'a', 1: 'b'}", "imgsz": "[32, 64]"}


def hints(home: Path, file: str = "", tree: Any = None, metadata: Any = None) -> Found:
    """What is found beside a graph in ``home``, or in it."""
    if file:
        (home / file).write_text(json.dumps(tree))
    path, model = home / "m.onnx", onnx.ModelProto()
    kind, given = np.dtype(np.float32), metadata or {}
    return find_hints(Source(path, model, "x", "NCHW", kind, None, None, None, "y", 2, given))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"size": INFINITE}, "size"),
        ({"size": {"height": INFINITE, "width": 3}}, "size"),
        ({"size": 10**9}, "size"),
        ({"size": {}}, "neither shortest_edge nor height and width"),
        ({"size": None}, "size"),
        ({"image_mean": [float("nan")] * 3}, "image_mean.0: Input should be a finite number"),
        ({"image_mean": [1e300] * 3}, "image_mean.0"),
        ({"image_mean": [0.5, 0.5]}, "one number or three"),
        ({"image_std": None}, "image_mean or image_std is missing"),
        ({"rescale_factor": 1e-320}, "rescale_factor"),
        ({"rescale_factor": "x"}, "rescale_factor"),
        ({"rescale_factor": 0}, "rescale_factor"),
        ({"resample": None}, "resample"),
        ({"resample": 9}, "resample"),
        ({"resample": "\x1b[31m"}, "resample"),
        ({"do_center_crop": True}, "crop_size is missing"),
        ({"do_center_crop": True, "crop_size": 10**9}, "crop_size"),
        ({"image_processor_type": "convnext", "crop_pct": 0}, "crop_pct"),
        ({"image_processor_type": "convnext", "crop_pct": 1e-300}, "crop_pct"),
    ],
)
def test_what_hugging_face_would_not_write(change: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has an unknown form") as refused:
        hints(tmp_path, "preprocessor_config.json", HUGGING_FACE | change)
    assert said in str(refused.value)
    assert str(tmp_path) in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "\x1b" not in str(refused.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"interpolation": 5}, "interpolation"),
        ({"crop_pct": 0}, "crop_pct"),
        ({"crop_pct": 1e-9}, "crop_pct"),
        ({"crop_pct": -1}, "crop_pct"),
        ({"crop_mode": "odd"}, "crop_mode"),
        ({"input_size": [3, INFINITE, 32]}, "input_size"),
        ({"input_size": [3, -32, 32]}, "input_size"),
        ({"input_size": 5}, "input_size"),
        ({"mean": 5}, "mean"),
        ({"label_names": {"0": "a", "2": "b"}}, "the class ids are not 0, 1, 2"),
        ({"label_names": [[1]]}, "id2label"),
    ],
)
def test_what_timm_would_not_write(change: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has an unknown form") as refused:
        hints(tmp_path, "config.json", TIMM | change)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"imgsz": "[1e999, 1]"}, "imgsz"),
        ({"imgsz": "[-5, 0]"}, "imgsz"),
        ({"imgsz": "[10**9, 1]"}, "malformed"),
        ({"imgsz": "None"}, "imgsz"),
        ({"names": "{(1,): 'a'}"}, "the class ids are not 0, 1, 2"),
        ({"names": "{1e999: 'a'}"}, "the class ids are not 0, 1, 2"),
        ({"names": "[" * 100_000}, "nested parentheses"),
        ({"names": "'" + "a" * 1_000_001 + "'"}, "1,000,003 characters"),
        ({"names": "3"}, "names"),
    ],
)
def test_what_ultralytics_would_not_write(change: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has an unknown form") as refused:
        hints(tmp_path, metadata=YOLO | change)
    assert said in str(refused.value)
    assert "give --labels, --size and --preset ultralytics" in str(refused.value)


def test_a_long_task_is_cut(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a model for the task") as refused:
        hints(tmp_path, metadata={"task": "\x1b[31m" + "x" * 5000})
    assert len(str(refused.value)) < 300


def test_names_say_where_they_are_from(tmp_path: Path) -> None:
    found = hints(tmp_path, "config.json", TIMM | {"label_names": ["a", "b"]})
    assert found.preprocessing is not None
    assert (found.preprocessing.size, found.preprocessing.resample) == ((32, 32), "bicubic")
    assert found.names == (("a", "b"), str(tmp_path / "config.json"))
    (tmp_path / "config.json").unlink()
    found = hints(tmp_path, metadata=YOLO)
    assert found.preprocessing is not None
    assert found.preprocessing.size == (64, 32)
    assert found.names is not None
    assert found.names.classes == ("a", "b")
