"""Confident disagreement out of fold is found, and a copy does not vouch for its original."""

import numpy as np
import pytest

from greengrocer.datachecks.discriminant import main_directions, out_of_fold
from greengrocer.datachecks.folds import ALWAYS_TRAINS, group_folds
from greengrocer.datachecks.groups import Groups
from greengrocer.datachecks.labels import confident_classes, suspect_labels
from greengrocer.engines.engine import Floats
from support.checked_folders import made_up

CLASSES = ("pear", "fig", "plum", "leek", "kale")


def clouds(truth: np.ndarray[tuple[int], np.dtype[np.int64]], seed: int, spread: float) -> Floats:
    """Features [N, 40] that lie about the centre of their true class."""
    random = np.random.default_rng(seed)
    centres = random.standard_normal((len(CLASSES), 40))
    return (centres[truth] + spread * random.standard_normal((len(truth), 40)) + 3).astype(
        np.float32
    )


def apart(count: int) -> Groups:
    each = tuple(range(count))
    return Groups(each, {}, 0.88, each)


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("seed", range(5))
def test_swapped_labels_are_found(seed: int, classes: int) -> None:
    truth = np.arange(200) % classes
    labels = truth.copy()
    swapped = set(np.random.default_rng(seed).choice(200, 12, replace=False).tolist())
    for index in swapped:
        labels[index] = (truth[index] + 1 + index % (classes - 1)) % classes
    images = made_up(labels.tolist())
    suspects = suspect_labels(images, clouds(truth, seed, 0.5), apart(200), CLASSES)
    at = {image.path: index for index, image in enumerate(images)}
    found = {at[each.path] for each in suspects}
    assert found <= swapped
    assert len(found) >= 8
    for each in suspects:
        assert each.suggested == truth[at[each.path]]
        assert each.resembles
        assert all(truth[at[path]] == each.suggested for path in each.resembles)
        assert CLASSES[each.suggested] in each.reason


def test_classes_of_few_images_are_not_judged() -> None:
    truth = np.repeat(np.arange(len(CLASSES)), [3, 30, 30, 30, 30])
    labels = truth.copy()
    labels[5], labels[40], labels[70] = 0, 0, 4
    images = made_up(labels.tolist())
    (found,) = suspect_labels(images, clouds(truth, 3, 0.3), apart(len(truth)), CLASSES)
    assert found.path == images[70].path


def test_right_labels_of_classes_that_overlap_are_left_alone() -> None:
    truth = np.arange(300) % len(CLASSES)
    suspects = suspect_labels(made_up(truth.tolist()), clouds(truth, 1, 1.2), apart(300), CLASSES)
    assert len(suspects) <= 3


def test_copies_with_the_same_wrong_label_do_not_vouch_for_each_other() -> None:
    truth = np.arange(100) % len(CLASSES)
    truth[[1, 6, 11, 16]] = 3  # four copies of one leek among the figs
    features = clouds(truth, 2, 0.5)
    features[[6, 11, 16]] = features[1]
    labels = np.arange(100) % len(CLASSES)
    copies = list(range(100))
    for index in (6, 11, 16):
        copies[index] = 1
    images = made_up(labels.tolist())
    groups = Groups(tuple(copies), {}, 0.88, tuple(copies))
    suspects = suspect_labels(images, features, groups, CLASSES)
    assert {each.path for each in suspects} >= {images[index].path for index in (1, 6, 11, 16)}


def test_the_right_one_of_two_copies_is_no_suspect() -> None:
    """A copy in another class is found as such; it accuses the other by no means."""
    truth = np.arange(100) % len(CLASSES)
    labels = truth.copy()
    labels[4] = 0  # a copy of a kale among the pears
    features = clouds(truth, 2, 0.9)
    features[9] = clouds(truth, 3, 2.5)[9]  # it looks like nothing else
    features[4] = features[9]
    copies = [*range(9), 4, *range(10, 100)]
    groups = Groups(tuple(copies), {}, 0.88, tuple(copies))
    images = made_up(labels.tolist())
    folds = group_folds(images, copies, 8)
    assert folds[4] == folds[9]
    suspects = suspect_labels(images, features, groups, CLASSES)
    assert images[9].path not in {each.path for each in suspects}


def test_a_class_of_one_group_is_not_judged() -> None:
    images = made_up([0, 0, 0, 1, 1, 1])
    assert group_folds(images, [0, 0, 0, 1, 2, 3], 3).tolist()[:3] == [ALWAYS_TRAINS] * 3


def test_no_group_is_in_two_folds() -> None:
    random = np.random.default_rng(0)
    images = made_up(random.integers(0, 4, 300).tolist())
    groups = random.integers(0, 80, 300).tolist()
    folds = group_folds(images, groups, 5)
    for label, group in {(i.label, g) for i, g in zip(images, groups, strict=True)}:
        own = [
            fold
            for image, each, fold in zip(images, groups, folds, strict=True)
            if (image.label, each) == (label, group)
        ]
        assert len(set(own)) == 1


@pytest.mark.parametrize("labels", [[], [0], [0, 0, 0], [0, 1]])
def test_too_little_to_judge(labels: list[int]) -> None:
    count = len(labels)
    features = np.random.default_rng(0).standard_normal((count, 8)).astype(np.float32)
    assert suspect_labels(made_up(labels), features, apart(count), CLASSES) == ()


def test_what_a_fold_leaves_out_is_what_a_fit_without_it_gives() -> None:
    """Sums are taken away exactly: the answer does not depend on the images that are judged."""
    truth = np.arange(100) % len(CLASSES)
    unit = clouds(truth, 4, 0.8)
    folds = np.arange(100) // 5 % 4
    before = out_of_fold(unit, truth, len(CLASSES), folds)
    assert (before.argmax(axis=1) == truth).mean() > 0.9
    np.testing.assert_allclose(before.sum(axis=1), 1, rtol=1e-4)


def test_confident_classes_ask_less_of_hard_classes() -> None:
    rows = [[0.9, 0.1], [0.4, 0.2], [0.3, 0.25], [0.2, 0.05], [np.nan, np.nan]]
    # images of class 0 have 0.65 on average and those of class 1 0.15: half of that is enough
    found = confident_classes(np.array(rows, np.float32), np.array([0, 0, 1, 1, 1]))
    assert found.tolist() == [0, 0, 1, -1, -1]


def test_the_main_directions_keep_what_differs() -> None:
    random = np.random.default_rng(0)
    wide = random.standard_normal((400, 20)).astype(np.float32)
    unit = (wide @ random.standard_normal((20, 600))).astype(np.float32)
    kept = main_directions(unit)
    assert kept.shape == (400, 256)
    np.testing.assert_allclose(kept @ kept.T, unit @ unit.T, rtol=1e-2, atol=1)
