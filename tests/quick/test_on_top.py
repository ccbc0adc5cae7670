"""Classes on top of a trained network, that of the bundle `fast`: its own head stays."""

from pathlib import Path

import numpy as np
import onnx
import pytest

import greengrocer
from greengrocer.bundles.bundle import load_bundle, shipped_bundles
from greengrocer.bundles.manifest import GRAPH
from greengrocer.datasets.dataset import read_split
from greengrocer.errors import UsageError
from greengrocer.graphs.parts import take_apart
from greengrocer.quick.teaching import forget_class, teach

FAST = shipped_bundles()["fast"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An own cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def taught(photos: Path, tmp_path: Path) -> Path:
    """The bundle with a class of drawn images."""
    teach(FAST, "Tinted", sorted((photos / "lime").iterdir())[2:], tmp_path / "taught")
    return tmp_path / "taught"


def head_of(bundle: Path) -> tuple[np.ndarray, np.ndarray]:
    head = take_apart(onnx.load(bundle / GRAPH))[1]
    return head.weight, head.bias


def test_a_new_class_is_named_and_the_trained_columns_stay(taught: Path, photos: Path) -> None:
    manifest, before = load_bundle(taught).manifest, load_bundle(FAST).manifest
    assert manifest.classes == (*before.classes, "Tinted")
    assert before.coarse is not None
    assert manifest.coarse == (*before.coarse, "Tinted")
    assert (manifest.known_threshold, manifest.metrics) == (before.known_threshold, before.metrics)
    for old, new in zip(head_of(FAST), head_of(taught), strict=True):
        np.testing.assert_allclose(new[..., :-1], old, rtol=1e-6)
    with greengrocer.load(str(taught)) as model:
        for path in sorted((photos / "lime").iterdir())[:2]:
            assert model.predict(path).top[0][0] == "Tinted"


def test_classes_that_are_taught_do_not_depend_on_each_other_and_leave_no_trace(
    taught: Path, photos: Path, tmp_path: Path
) -> None:
    teach(taught, "Second", sorted((photos / "plum").iterdir()))
    two, one = head_of(taught), tmp_path / "one"
    forget_class(taught, "Second")
    teach(FAST, "Tinted", sorted((photos / "lime").iterdir())[2:], one)
    for found, wanted, both in zip(head_of(taught), head_of(one), two, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(both[..., :-1], wanted, rtol=1e-5, atol=1e-6)
    assert load_bundle(taught).manifest.classes == load_bundle(one).manifest.classes


def test_what_trained_the_network_is_not_changed(taught: Path, photos: Path) -> None:
    limes = sorted((photos / "lime").iterdir())
    with pytest.raises(UsageError, match=r"trained the network .* --class 'Lemon 2', or train on"):
        teach(taught, "Lemon", limes)
    with pytest.raises(UsageError, match=r"trained the network .* Train without its images"):
        forget_class(taught, "Lemon")
    with pytest.raises(UsageError, match="came with the product"):
        teach(FAST, "Tinted", limes)


def test_the_old_classes_lose_next_to_nothing(taught: Path, dataset: Path) -> None:
    split = read_split(dataset, "val")
    chosen = split.pictures[::4]
    right = []
    for bundle in (FAST, taught):
        with greengrocer.load(str(bundle)) as model:
            found = [model.predict(image.path).top[0][0] for image in chosen]
        names = [split.taxonomy.classes[image.label] for image in chosen]
        right.append(np.mean([a == b for a, b in zip(found, names, strict=True)]))
    assert right[1] >= right[0] - 0.005
