"""A statistics file of a stranger is taken only where it is what it should be."""

import hashlib
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from pydantic import ValidationError

from greengrocer.features.statistics import gather, moments_of, of_trained
from greengrocer.features.statistics_checks import Settings, Told, check_sides, checked
from greengrocer.features.statistics_file import pack

CHANNELS = 12
UPPER = CHANNELS * (CHANNELS + 1) // 2
QUICK = Told(classes=("a", "b", "d"), settings=Settings(seed=7))
ON_TOP = Told(classes=("a", "b", "d"), settings=Settings(trained=("a", "b"), prototypes=2))


def images() -> tuple[list[str], np.ndarray, np.ndarray]:
    random, labels = np.random.default_rng(1), np.arange(30) % 3
    features = random.normal(0, 1, (30, CHANNELS)) + 3 * np.eye(3, CHANNELS)[labels]
    return [hashlib.sha256(bytes([k])).hexdigest() for k in range(30)], labels, features


def tensors(*, on_top: bool = False) -> dict[str, Any]:
    """Those of a file with rows and sums; ``on_top``: the sums trained a network, as ON_TOP."""
    digests, labels, features = images()
    rows = labels == 2 if on_top else np.arange(30) < 9
    kept = gather("abd", [digests[k] for k in np.flatnonzero(rows)], labels[rows], features[rows])
    rest = of_trained("abd", labels[~rows], features[~rows]).rest
    with_rest = type(kept)(**{**vars(kept), "rest": rest})
    told = ON_TOP if on_top else QUICK
    return dict(safetensors.numpy.load(pack(with_rest, told.settings)))


def test_a_file_that_is_right_is_accepted() -> None:
    digests, labels, features = images()
    wanted = moments_of(features.astype(np.float16), labels, 3)
    for told, found in ((QUICK, tensors()), (ON_TOP, tensors(on_top=True))):
        moments = checked(found, told).moments()
        assert moments.counts.tolist() == [10, 10, 10]
        np.testing.assert_allclose(moments.sums, wanted.sums, rtol=1e-3, atol=1e-2)
        np.testing.assert_allclose(moments.second, wanted.second, atol=0.2)
    assert len(digests) == 30


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("digests", np.zeros((9, 7), np.uint8), r"digests is uint8 \[9, 7\], not uint8 \[9, 8\]"),
        ("digests", np.zeros((9, 8), np.int16), "digests is int16"),
        ("digests", np.zeros((9, 8), np.uint8), "digests has an image twice"),
        ("labels", np.zeros(8, np.int32), r"labels is int32 \[8\]"),
        ("labels", np.full(9, 1e30), "labels is float64"),
        ("labels", np.full(9, 3, np.int32), "labels has a number that is not from 0 to 2"),
        ("labels", np.full(9, -1, np.int32), "labels has a number"),
        ("features", np.zeros((9, CHANNELS), np.float32), "features is float32"),
        ("features", np.full((9, CHANNELS), np.nan, np.float16), "features has a number"),
        ("features", np.zeros(9, np.float16), "features is float16"),
        ("shots", np.zeros((9, 4), np.int64), "shots is int64"),
        ("shots", np.full((9, 2), np.iinfo(np.int64).max), "shots has a number"),
        ("rest.counts", np.ones(2, np.int64), "rest.counts is int64"),
        ("rest.counts", np.array([5, -1, 5]), "rest.counts has a number"),
        ("rest.counts", np.array([2**62] * 3), "rest.counts has a number"),
        ("rest.counts", np.array([999_999_999] * 3), "the sum of rest.counts has a number"),
        ("rest.counts", np.zeros(3, np.int64), "the sum of rest.counts has a number"),
        ("rest.sums", np.zeros((3, CHANNELS + 1)), "rest.sums is float64"),
        ("rest.sums", np.full((3, CHANNELS), np.inf), "rest.sums has a number"),
        ("rest.sums", np.full((3, CHANNELS), 1e30), "rest.sums has a number"),
        ("rest.second", np.zeros(1), "rest.second is float64"),
        ("rest.second", np.full(UPPER, np.nan), "rest.second has a number"),
        ("rest.second", np.full(UPPER, -1e300), "rest.second has a number"),
        ("rest.second", np.full(UPPER, -1.0), "rest.second has a negative square"),
        ("rest.second", None, "there is no rest.second"),
        ("labels", None, "there is no labels"),
    ],
)
def test_a_file_that_is_malformed_is_refused(name: str, value: Any, said: str) -> None:
    found = tensors() | {name: value}
    with pytest.raises(ValueError, match=said):
        checked({key: each for key, each in found.items() if each is not None}, QUICK)


def test_every_class_has_images_where_they_belong() -> None:
    sound = tensors(on_top=True)
    without_rest = {name: each for name, each in sound.items() if not name.startswith("rest.")}
    with pytest.raises(ValueError, match="the class 'a' has no image"):
        checked(without_rest, QUICK)
    in_trained = sound | {"labels": sound["labels"] * 0}
    with pytest.raises(ValueError, match="the class 'd' has no image"):
        checked(in_trained, ON_TOP)
    all_trained = Told(classes=QUICK.classes, settings=Settings(trained=("a",), prototypes=1))
    with pytest.raises(ValueError, match="the sums are not those of the classes that trained"):
        checked(sound, all_trained)
    others = Told(classes=QUICK.classes, settings=Settings(trained=("b",), prototypes=1))
    with pytest.raises(ValueError, match="trained are not the first classes"):
        checked(sound, others)


@pytest.mark.parametrize(
    "settings",
    [
        *({"seed": seed} for seed in ("abc", None, -1, [1], 10**30, 1.5, True)),
        {"trained": "apple", "prototypes": 1},
        {"trained": ["apple"]},
        {"prototypes": 3},
        {"seed": 7, "trained": ["apple"], "prototypes": 3},
        {"trained": ["apple"], "prototypes": -1},
        [],
    ],
)
def test_settings_that_are_none_are_refused(settings: Any) -> None:
    with pytest.raises(ValidationError, match="settings"):
        Told.model_validate({"classes": ["a"], "settings": settings})


def test_a_width_that_the_head_has_too_is_limited() -> None:
    check_sides(16_000, 4096, 4096)
    with pytest.raises(ValueError, match="it has 4,097 features an image, over 4,096"):
        check_sides(1, 4097, 4097)
