import io
import math
from contextlib import redirect_stdout
from pathlib import Path

import pytest
import torch

from greengrocer.datasets.dataset import Dataset, read_split
from greengrocer.training.learning.checkpoint import read_state
from greengrocer.training.learning.course import Course, TimeLimit
from greengrocer.training.learning.fit import Trainer, fit
from greengrocer.training.recipe import Augmentation, Optimisation, Recipe
from support.folders import write_folders

RECIPE = Recipe(
    name="greys",
    seed=3,
    backbone="efficientnet-lite0",
    pretrained=False,
    augmentation=Augmentation(image_size=48, initial_image_size=32),
    optimisation=Optimisation(epochs=12, batch_size=4, warmup_epochs=1),
)
WHOLE = Course.of(RECIPE)


def test_each_epoch_is_one_of_the_recipe_while_there_is_time() -> None:
    assert WHOLE.epochs == 12
    assert [WHOLE.at(epoch) for epoch in (0, 2.5, 12)] == [0, 2.5, 12]


def test_a_shortened_course_ends_where_the_recipe_ends() -> None:
    shorter = WHOLE.shortened(4, 8)
    assert [shorter.at(epoch) for epoch in (4, 6, 8)] == [4, 8, 12]
    again = shorter.shortened(6, 7)
    assert [again.at(epoch) for epoch in (6, 7)] == [8, 12]


def test_it_comes_back_from_a_checkpoint() -> None:
    shorter = WHOLE.shortened(4, 8)
    assert Course.of(RECIPE, {"course": shorter.kept()}) == shorter
    assert Course.of(RECIPE, {}) == WHOLE


@pytest.mark.parametrize("slower", [1.0, 1.5, 3.0, 100.0])
def test_the_epochs_that_are_left_fit_into_the_time(slower: float) -> None:
    planned = TimeLimit(end=120.0, epochs=90.0, afterwards=20.0)
    unit = slower * 90 / WHOLE.work(RECIPE)
    now = unit * WHOLE.work(RECIPE, 0, 3)
    found = planned.fitting(WHOLE, RECIPE, 3, unit, now)
    if slower == 1:
        assert found == WHOLE
        return
    assert 4 <= found.epochs < WHOLE.epochs
    end = now + unit * found.work(RECIPE, 3) + 20 * slower
    assert end <= 120 or found.epochs == 4
    longer = WHOLE.shortened(3, found.epochs + 1)
    assert now + unit * longer.work(RECIPE, 3) + 20 * slower > 120


def test_the_last_epoch_is_always_trained() -> None:
    late = TimeLimit(end=0.0, epochs=1.0, afterwards=1.0)
    assert late.fitting(WHOLE, RECIPE, 11, 1.0, 100.0) == WHOLE
    assert late.fitting(WHOLE, RECIPE, 12, 1.0, 100.0) == WHOLE


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    levels = {"dark": [10, 20, 30, 40], "light": [200, 210, 220, 230]}
    return read_split(write_folders(tmp_path_factory.mktemp("data"), levels), "train")


def test_a_fit_that_is_late_ends_early_with_a_whole_course_of_rates(
    split: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[float] = []
    take = Trainer.train_batch

    def noted(self: Trainer, pixels: torch.Tensor, labels: torch.Tensor) -> float:
        loss = take(self, pixels, labels)
        rates.append(self.optimiser.param_groups[-1]["lr"])
        return loss

    monkeypatch.setattr(Trainer, "train_batch", noted)
    late = TimeLimit(end=-math.inf, epochs=1.0, afterwards=0.0)
    said = io.StringIO()
    path = tmp_path / "checkpoint.pt"
    with redirect_stdout(said):
        fit(RECIPE, split.taxonomy, split.pictures, path, threads=1, limit=late)
    assert "2 epochs instead of 12, to end in time" in said.getvalue()
    assert read_state(path)["epoch"] == 2
    assert rates[-1] < 0.6 * max(rates)  # not only the start of a long course
    # finished: another run neither trains more nor forgets that it was shortened
    steps = len(rates)
    fit(RECIPE, split.taxonomy, split.pictures, path, threads=1)
    assert len(rates) == steps
