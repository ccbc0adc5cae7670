"""Statistics of a stranger's bundle: a line names the file and what is wrong with it."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from greengrocer.bundles.bundle import shipped_bundles
from greengrocer.bundles.manifest import MANIFEST, STATISTICS
from greengrocer.errors import BundleRefused
from greengrocer.quick.teaching import teach

FAST = shipped_bundles()["fast"]
CHANNELS, CLASSES, PROTOTYPES = 1280, 81, 486
UPPER = CHANNELS * (CHANNELS + 1) // 2


def altered(home: Path, tensors: dict[str, Any], settings: dict[str, Any]) -> Path:
    """The bundle `fast` with other statistics, whose digest is right."""
    bundle = shutil.copytree(FAST, home / "bundle")
    data = (bundle / STATISTICS).read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    told = json.loads(header["__metadata__"]["statistics"])
    told["settings"] |= settings
    found = safetensors.numpy.load(data) | tensors
    written = safetensors.numpy.save(found, {"statistics": json.dumps(told)})
    (bundle / STATISTICS).write_bytes(written)
    manifest = json.loads((bundle / MANIFEST).read_text())
    manifest["files"][STATISTICS] = hashlib.sha256(written).hexdigest()
    (bundle / MANIFEST).write_text(json.dumps(manifest))
    return bundle


def test_wide_ones_are_refused_before_a_tensor_is_read(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their matrix would have a gigabyte, and more than one is made."""
    wide = 11_500
    within = np.zeros(wide * (wide + 1) // 2, np.float16)
    bundle = altered(
        tmp_path, {"features": np.zeros((0, wide), np.float16), "rest.within": within}, {}
    )
    monkeypatch.delattr(safetensors.numpy, "load")
    images = sorted((photos / "lime").iterdir())
    with pytest.raises(BundleRefused, match="has 11,500 features an image, and the head of"):
        teach(bundle, "Tinted", images, tmp_path / "out")


@pytest.mark.parametrize(
    ("tensors", "settings", "said"),
    [
        ({}, {"seed": "abc"}, "is malformed: settings.seed: Input should be a valid integer"),
        ({}, {"trained": None}, "trained and prototypes must both be given"),
        ({}, {"trained": "apple"}, "settings.trained: Input should be a valid"),
        ({}, {"prototypes": 1}, "model.onnx would have 1, and it has 486"),
        ({}, {"prototypes": PROTOTYPES + 1}, "model.onnx would have 487, and it has 486"),
        (
            {
                "features": np.zeros((0, 7), np.float16),
                "rest.sums": np.zeros((CLASSES, 7), np.float32),
                "rest.within": np.zeros(28, np.float16),
            },
            {},
            "it has 7 features an image, and the head of model.onnx reads 1,280",
        ),
        (
            {"features": np.zeros((16_001, CHANNELS), np.float16)},
            {},
            "it has 16,001 images, over 16,000",
        ),
        (
            {
                "rest.sums": np.zeros((CLASSES, CHANNELS), np.float32),
                "rest.within": np.zeros(UPPER, np.float16),
            },
            {},
            "has sums or features of which no head can be computed",
        ),
        ({"rest.counts": np.full(CLASSES, 2**62)}, {}, "rest.counts has a number that is not from"),
    ],
)
def test_they_are_refused(
    tensors: dict[str, Any],
    settings: dict[str, Any],
    said: str,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    bundle = altered(tmp_path, tensors, settings)
    images = sorted((photos / "lime").iterdir())
    with pytest.raises(BundleRefused, match=STATISTICS) as refused:
        teach(bundle, "Tinted", images, tmp_path / "out")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "out").exists()
