"""The logits of a network that met classes unequally often, and answers where they are equal."""

import math
from pathlib import Path

import pytest
import torch

from greengrocer.datasets.dataset import LabelledImage
from greengrocer.networks.recogniser import Recogniser
from greengrocer.training.recipe import Export, Optimisation, Recipe
from greengrocer.training.release.finish import logit_adjustment, published

PICTURES = [LabelledImage(Path(f"{label}.jpg"), label) for label in (0, 0, 0, 1)]  # and none of 2


def adjusting(share: float, class_balance: float = 0.0) -> Recipe:
    return Recipe(
        name="adjusting",
        backbone="efficientnet-lite0",
        optimisation=Optimisation(class_balance=class_balance),
        export=Export(logit_adjustment=share),
    )


def test_a_class_loses_the_log_of_how_often_it_was_met() -> None:
    taken = logit_adjustment(adjusting(1.0), PICTURES, 3)
    assert taken.sum().item() == pytest.approx(0, abs=1e-6)
    assert (taken - taken[2]).tolist() == pytest.approx([math.log(4), math.log(2), 0.0])
    half = logit_adjustment(adjusting(0.5), PICTURES, 3)
    assert half.tolist() == pytest.approx((taken / 2).tolist())


@pytest.mark.parametrize("recipe", [adjusting(0.0), adjusting(1.0, class_balance=1.0)])
def test_nothing_is_taken_without_it_or_where_sampling_evened_the_classes_out(
    recipe: Recipe,
) -> None:
    assert not logit_adjustment(recipe, PICTURES, 3).any()


def test_what_ships_is_adjusted_and_the_trained_network_stays() -> None:
    recipe = adjusting(1.0)
    trained = Recogniser(recipe.backbone, 3)
    before = trained.head.bias.detach().clone()
    network, weights = published(trained, recipe, PICTURES)
    torch.testing.assert_close(trained.head.bias, before)
    expected = before - logit_adjustment(recipe, PICTURES, 3)
    torch.testing.assert_close(network.head.bias, expected, atol=2e-3, rtol=0)
    assert weights["head.bias"].tolist() == network.head.bias.tolist()
