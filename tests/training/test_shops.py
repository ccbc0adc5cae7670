import itertools
import math

import numpy as np
import pytest

from greengrocer.datasets.dataset import LabelledImage
from greengrocer.engines.engine import Floats
from greengrocer.figures.score import ClassIds
from greengrocer.training.data.scenes import NEVER_HELD_OUT
from greengrocer.training.data.shops import Doubles, _distances, _partitions, _together, shop_folds

SHOPS, CLASSES, EACH = 3, 5, 8


def best_of_all(places: ClassIds, rows: Doubles, folds: int) -> ClassIds:
    """What ``_together`` finds, by trying each assignment, with all its numberings of folds."""
    numbers, sizes = np.unique(places, return_counts=True)
    centres = np.stack([rows[places == number].mean(axis=0) for number in numbers])
    apart = _distances(centres, centres) * np.minimum.outer(sizes, sizes)
    best, found = (np.inf, np.inf), np.zeros(len(numbers), np.int64)
    for chosen in itertools.product(range(folds), repeat=len(numbers) - 1):
        fold = np.array((0, *chosen))
        largest = np.bincount(fold, sizes, minlength=folds).max() / sizes.sum()
        within = float((apart * (fold[:, None] == fold)).sum())
        standing = max(largest, 1.25 / folds), within
        if standing < best:
            best, found = standing, fold
    return found[np.searchsorted(numbers, places)]


@pytest.fixture
def drawn() -> tuple[list[LabelledImage], list[int], Floats, list[int]]:
    """Images of two a scene, their styles, and the shop of each: the class counts for more."""
    random = np.random.default_rng(0)
    of_shop, of_class = random.normal(0, 1, (SHOPS, 40)), random.normal(0, 5, (CLASSES, 40))
    images, scenes, styles, shops = [], [], [], []
    for label in range(CLASSES):
        for shop in range(SHOPS):
            for number in range(EACH):
                images.append(LabelledImage(f"{label}-{shop}-{number}.jpg", label))  # type: ignore[arg-type]
                scenes.append((label * SHOPS + shop) * EACH + number // 2)
                styles.append(of_class[label] + of_shop[shop] + random.normal(0, 0.3, 40))
                shops.append(shop)
    numbers = {scene: place for place, scene in enumerate(dict.fromkeys(scenes))}
    return images, [numbers[s] for s in scenes], np.array(styles, np.float32), shops


def test_a_fold_is_a_shop_whatever_stands_there(
    drawn: tuple[list[LabelledImage], list[int], Floats, list[int]],
) -> None:
    images, scenes, styles, shops = drawn
    found = shop_folds(images, scenes, styles, SHOPS, seed=7)
    assert len({(shop, fold) for shop, fold in zip(shops, found, strict=True)}) == SHOPS
    assert found == shop_folds(images, scenes, styles, SHOPS, seed=7)


def test_scenes_stay_whole_and_each_class_is_on_both_sides(
    drawn: tuple[list[LabelledImage], list[int], Floats, list[int]],
) -> None:
    images, scenes, styles, _ = drawn
    styles = np.random.default_rng(1).normal(0, 1, styles.shape).astype(np.float32)
    styles[:48] += 40 * np.eye(40, dtype=np.float32)[np.arange(48) // 24]  # of two classes alone
    found = np.array(shop_folds(images, scenes, styles, 4, seed=1))
    assert all(len(set(found[np.array(scenes) == scene])) == 1 for scene in set(scenes))
    labels = np.array([image.label for image in images])
    assert all(len(set(found[labels == label])) > 1 for label in range(CLASSES))


def test_a_class_of_one_scene_is_never_held_out(
    drawn: tuple[list[LabelledImage], list[int], Floats, list[int]],
) -> None:
    images, scenes, styles, _ = drawn
    labels = [image.label for image in images]
    one = [scene + 1 if label else 0 for label, scene in zip(labels, scenes, strict=True)]
    found = shop_folds(images, one, styles, SHOPS, seed=7)
    assert [fold == NEVER_HELD_OUT for fold in found] == [label == 0 for label in labels]


@pytest.mark.parametrize(
    ("folds", "places"), [(2, 8), (3, 1), (3, 2), (3, 7), (3, 8), (4, 6), (5, 5)]
)
@pytest.mark.parametrize("directions", [1, 20])
def test_places_are_put_together_as_the_best_of_all_assignments(
    folds: int, places: int, directions: int
) -> None:
    random = np.random.default_rng(100 * folds + places)
    weights = random.dirichlet(np.ones(places))
    of_place = random.choice(places, 400, p=weights)
    rows = random.normal(size=(400, directions))
    expected = best_of_all(of_place, rows, folds)
    found = _together(of_place, rows, folds)
    assert (found.dtype, found.tobytes()) == (expected.dtype, expected.tobytes())


def test_each_partition_is_tried_once() -> None:
    def stirling(count: int, folds: int) -> int:
        """Partitions of ``count`` places into just ``folds`` folds."""
        terms = ((-1) ** k * math.comb(folds, k) * (folds - k) ** count for k in range(folds + 1))
        return int(sum(terms) // math.factorial(folds))

    for count, folds in [(1, 2), (4, 4), (8, 3), (8, 8)]:
        tried = list(_partitions(count, folds))
        assert tried == sorted(set(tried))
        assert len(tried) == sum(stirling(count, each) for each in range(1, folds + 1))


def test_many_folds_are_found(
    drawn: tuple[list[LabelledImage], list[int], Floats, list[int]],
) -> None:
    """Each assignment by its name would be a thousand million, of 10 places in 10 folds."""
    images, scenes, styles, _ = drawn
    assert set(shop_folds(images, scenes, styles, 10, seed=7)) == set(range(10))
