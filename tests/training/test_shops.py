import numpy as np
import pytest

from greengrocer.datasets.dataset import LabelledImage
from greengrocer.engines.engine import Floats
from greengrocer.training.data.scenes import NEVER_HELD_OUT
from greengrocer.training.data.shops import shop_folds

SHOPS, CLASSES, EACH = 3, 5, 8


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
