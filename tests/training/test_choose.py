"""Recipes over the whole grid of data sets that need no tuning."""

import tomllib
from pathlib import Path

import pytest

from greengrocer.training.choose import (
    LARGE_NETWORK,
    NETWORK,
    SPARE,
    DatasetFacts,
    StepCost,
    choose_recipe,
    estimate,
)
from greengrocer.training.recipe import Data, Recipe, as_toml, read_recipe

SLOW = StepCost(load=0.01, compute=0.05)
GPU = StepCost(load=0.001, compute=0.0005, device="cuda")


def facts(images: int, classes: int, *, balanced: bool = True) -> DatasetFacts:
    """As many images of each class; unbalanced, a tenth of it in the last."""
    counts = [images] * classes
    if not balanced:
        counts[-1] = max(1, images // 10)
    return DatasetFacts("photos", tuple(counts), max(classes, images * classes // 4))


@pytest.mark.parametrize("images", [4, 5, 20, 100, 1000, 5000])
@pytest.mark.parametrize("classes", [2, 10, 100, 1000])
@pytest.mark.parametrize("balanced", [True, False])
@pytest.mark.parametrize("step", [SLOW, GPU])
def test_each_has_a_recipe_that_is_sane(
    images: int, classes: int, balanced: bool, step: StepCost
) -> None:
    found = facts(images, classes, balanced=balanced)
    recipe = choose_recipe(found, step)
    how = recipe.optimisation
    steps = how.epochs * (found.images // how.batch_size)
    assert how.batch_size <= max(4, found.images)
    assert steps >= 20, "enough to learn"
    assert how.epochs * found.images >= min(30 * found.images, 3000), "seen often enough"
    assert 0 < how.warmup_epochs < how.epochs
    assert how.frozen_batch_norm == (images < 10 or found.images < 1_000)
    assert recipe.data.refit == (found.all_images < 3_000)
    assert (how.class_balance > 0) == (not balanced)
    assert recipe.augmentation.image_size == 224
    assert recipe.export.image_size == 256
    assert recipe.backbone == (LARGE_NETWORK if step.device == "cuda" else NETWORK)


@pytest.mark.parametrize("images", [5, 100, 1000])
@pytest.mark.parametrize("classes", [2, 10, 100])
def test_a_time_is_kept_where_it_can_be(images: int, classes: int) -> None:
    found = facts(images, classes)
    least = estimate(choose_recipe(found, SLOW, 1e-6), found, SLOW).total / 60
    usual = estimate(choose_recipe(found, SLOW), found, SLOW).total / 60
    assert choose_recipe(found, SLOW, 1e-6).optimisation.linear_probe_epochs == 1
    before = 0.0
    for share in (0.1, 0.3, 0.6, 1.0, 1.5):
        minutes = least * 1.2 + share * (usual - least)
        recipe = choose_recipe(found, SLOW, minutes)
        assert estimate(recipe, found, SLOW).total <= 60 * minutes
        spent = estimate(recipe, found, SLOW).total
        assert spent >= before * 0.8, "more time is used"
        before = spent
    assert choose_recipe(found, SLOW, 100 * usual) == choose_recipe(found, SLOW)


def test_what_a_person_holds_out_is_never_trained_on() -> None:
    found = facts(20, 10)
    assert choose_recipe(found, SLOW).data.refit
    assert not choose_recipe(found._replace(own_split=True), SLOW).data.refit


def test_the_refit_is_given_up_before_the_image_size() -> None:
    found = facts(20, 10)
    recipe = choose_recipe(found, SLOW)
    once = recipe.model_copy(update={"data": Data()})
    assert estimate(recipe, found, SLOW).total > 1.8 * estimate(once, found, SLOW).total - 30
    hurried = choose_recipe(found, SLOW, 0.6 * estimate(once, found, SLOW).total / 60 / SPARE)
    assert not hurried.data.refit
    assert hurried.augmentation.image_size == recipe.augmentation.image_size


def test_of_few_images_the_epochs_are_given_up_before_the_size() -> None:
    """They leave what ships the nearer to the probe."""
    found = facts(20, 10)
    once = choose_recipe(found._replace(own_split=True), SLOW)
    minutes = 0.4 * estimate(once, found, SLOW).total / 60 / SPARE
    hurried = choose_recipe(found, SLOW, minutes)
    assert hurried.optimisation.epochs < once.optimisation.epochs / 2
    assert hurried.augmentation.image_size == 224
    assert 0 < hurried.optimisation.wise_ft_alpha < once.optimisation.wise_ft_alpha


def test_more_time_never_makes_images_smaller() -> None:
    found = facts(500, 20)
    sizes = [choose_recipe(found, SLOW, m).augmentation.image_size for m in range(5, 400, 15)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


def test_a_recipe_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "shop.recipe.toml"
    recipe = choose_recipe(facts(5, 3, balanced=False), SLOW, seed=3)
    path.write_text(as_toml(recipe, "Chosen by:\ngreengrocer"))
    assert read_recipe(path) == recipe
    every = Recipe(name="x", backbone=NETWORK)
    assert Recipe.model_validate(tomllib.loads(as_toml(every, ""))) == every
