import hashlib
from pathlib import Path

import numpy as np
import pytest

from greengrocer.errors import UsageError
from greengrocer.features import statistics as module
from greengrocer.features import statistics_file
from greengrocer.features.statistics import Statistics, gather, of_trained
from greengrocer.features.statistics_checks import Settings
from greengrocer.quick.discriminant import discriminant
from greengrocer.quick.shots import shots_of

CHANNELS = 12


def images(count: int, seed: int, classes: int = 3) -> tuple[list[str], np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    features = random.normal(0, 1, (count, CHANNELS)) + 3 * np.eye(classes, CHANNELS)[labels]
    digests = [hashlib.sha256(f"{seed} {k}".encode()).hexdigest() for k in range(count)]
    return digests, labels, features.astype(np.float32)


def whole() -> Statistics:
    return gather(("a", "b", "d"), *images(30, 1))


def same(one: Statistics, other: Statistics) -> None:
    assert one.classes == other.classes
    for name in ("digests", "labels", "features", "shots"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_the_order_of_the_images_does_not_matter_and_one_that_comes_twice_counts_once() -> None:
    digests, labels, features = images(30, 1)
    order = [*np.random.default_rng(2).permutation(30), 4, 5]
    turned = gather(("a", "b", "d"), [digests[k] for k in order], labels[order], features[order])
    same(turned, whole())


def test_of_the_names_of_a_file_that_comes_twice_the_order_does_not_choose_one() -> None:
    digests, labels, features = images(2, 1, classes=2)
    names = [Path(each) for each in ("IMG_9.jpg", "IMG_4.jpg", "a.jpg", "IMG_3.jpg")]
    found = []
    for order in ([0, 1, 2, 3], [3, 2, 1, 0]):
        twice = np.array([0, 0, 1, 1])[order]
        shots = shots_of([names[k] for k in order])
        found.append(
            gather("ab", [digests[k] for k in twice], labels[twice], features[twice], shots)
        )
    same(*found)
    assert sorted(found[0].shots[:, 1].tolist()) == [-1, 4]


def test_a_class_that_is_added_and_taken_away_leaves_nothing() -> None:
    digests, _, features = images(6, 7)
    taught = whole().add("c", digests, features)
    assert taught.classes == ("a", "b", "c", "d")
    assert taught.counts.tolist() == [10, 10, 6, 10]
    assert taught.has(digests).all()
    same(taught.without_class("c"), whole())
    same(taught.without_images(digests).without_class("c"), whole())


def test_what_is_taught_is_what_was_there_from_the_start() -> None:
    digests, labels, features = images(30, 1)
    late = labels == 1
    early = gather(
        ("a", "d"),
        [d for d, is_late in zip(digests, late, strict=True) if not is_late],
        labels[~late] // 2,
        features[~late],
    )
    chosen = [d for d, is_late in zip(digests, late, strict=True) if is_late]
    same(early.add("b", chosen, features[late]), whole())


def test_images_beyond_the_limit_count_in_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = discriminant(whole().moments())
    monkeypatch.setattr(module, "MOST_KEPT", 7)
    bounded = whole()
    assert len(bounded.labels) == 7
    assert bounded.counts.tolist() == [10, 10, 10]
    found = discriminant(bounded.moments())
    np.testing.assert_allclose(found.weight, wanted.weight, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.bias, wanted.bias, rtol=1e-9)


def test_what_is_taught_beyond_the_limit_counts_in_sums_as_from_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MOST_KEPT", 7)
    digests, labels, features = images(30, 1)
    first = labels != 1
    early = gather(
        ("a", "d"),
        [d for d, is_first in zip(digests, first, strict=True) if is_first],
        labels[first] // 2,
        features[first],
    )
    chosen = [d for d, is_first in zip(digests, first, strict=True) if not is_first]
    late = early.add("b", chosen, features[~first])
    assert len(late.labels) == 7
    assert late.counts.sum() == 30
    assert late.has(digests).sum() == 7
    found, wanted = late.moments(), whole().moments()
    order = [late.classes.index(name) for name in ("a", "b", "d")]
    np.testing.assert_array_equal(found.counts[order], wanted.counts)
    np.testing.assert_allclose(found.sums[order], wanted.sums)
    np.testing.assert_allclose(found.second, wanted.second)


def test_a_file_that_could_not_be_read_again_is_not_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(statistics_file, "MOST_BYTES", 500)
    with pytest.raises(UsageError, match=r"of 3 classes would have .* at most 500 are read"):
        statistics_file.pack(whole(), Settings(seed=7))
    _, labels, features = images(30, 1)
    assert not statistics_file.pack_trained(of_trained("abd", labels, features), 3)


def test_the_head_tells_the_classes_apart_from_one_image_each_on() -> None:
    digests, labels, features = images(300, 3)
    for shots in (1, 2, 5, 50):
        rows = slice(0, 3 * shots)
        head = discriminant(gather("abc", digests[rows], labels[rows], features[rows]).moments())
        right = (features @ head.weight + head.bias).argmax(axis=1) == labels
        assert right.mean() > 0.7
        assert np.isfinite(head.weight).all()
