import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from greengrocer.datasets.dataset import Dataset, read_split
from greengrocer.errors import UsageError
from greengrocer.networks.backbone import normalise
from greengrocer.networks.recogniser import Recogniser
from greengrocer.training.data.batches import training_batches
from greengrocer.training.learning.fit import Trainer, fit
from greengrocer.training.recipe import Augmentation, Optimisation, Recipe
from support.folders import write_folders
from support.servers import clean_environment

RECIPE = Recipe(
    name="greys",
    seed=3,
    backbone="efficientnet-lite0",
    pretrained=False,
    augmentation=Augmentation(image_size=32),
    optimisation=Optimisation(epochs=3, batch_size=4),
)
STEPS = 2  # an epoch: 8 images in batches of 4

# Trains as ``greengrocer train`` does, but stands still in the second epoch's second batch, and
# says so.
VICTIM = """
import sys, threading
from pathlib import Path
import torch
from greengrocer.datasets.dataset import read_split
from greengrocer.training.learning.fit import Trainer, fit
from greengrocer.training.recipe import Recipe

data, checkpoint, recipe = sys.argv[1:]
torch.set_num_threads(1)
train_batch = Trainer.train_batch

def stand_still(self, pixels, labels):
    if self.step == 3:
        print("stands still", flush=True)
        threading.Event().wait()
    return train_batch(self, pixels, labels)

Trainer.train_batch = stand_still
split = read_split(Path(data), "train")
recipe = Recipe.model_validate_json(recipe)
fit(recipe, split.taxonomy, split.pictures, Path(checkpoint), threads=1)
"""


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """The order of sums depends on the number of threads, and with it the last bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    levels = {"dark": [10, 20, 30, 40], "light": [200, 210, 220, 230]}
    return write_folders(tmp_path_factory.mktemp("data"), levels)


@pytest.fixture(scope="module")
def split(data: Path) -> Dataset:
    return read_split(data, "train")


@pytest.fixture(scope="module")
def finished(split: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a run that nothing interrupted."""
    checkpoint = tmp_path_factory.mktemp("finished") / "checkpoint.pt"
    fitted(split, checkpoint)
    return checkpoint


def fitted(split: Dataset, checkpoint: Path, recipe: Recipe = RECIPE) -> Recogniser:
    return fit(recipe, split.taxonomy, split.pictures, checkpoint, threads=2).network


@pytest.mark.accept
def test_a_killed_run_resumes_to_bit_identical_weights(
    data: Path, split: Dataset, finished: Path, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "checkpoint.pt"
    arguments = [str(data), str(checkpoint), RECIPE.model_dump_json()]
    process = subprocess.Popen(
        [sys.executable, "-c", VICTIM, *arguments],
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout as lines:
        try:
            assert any("stands still" in line for line in lines)
        finally:
            process.kill()
    assert process.wait() == -signal.SIGKILL
    assert torch.load(checkpoint, weights_only=True)["epoch"] == 1
    resumed = fitted(split, checkpoint)
    found, expected = (torch.load(path, weights_only=True) for path in (checkpoint, finished))
    assert found["step"] == expected["step"] == 3 * STEPS
    for part in ("network", "average"):
        assert found[part].keys() == expected[part].keys()
        for name, value in expected[part].items():
            assert torch.equal(found[part][name], value), name
    assert torch.equal(resumed.state_dict()["head.weight"], expected["average"]["head.weight"])


def test_a_finished_run_is_not_run_again(
    split: Dataset, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(Trainer, "train_epoch")
    assert not fitted(split, finished).training


def test_a_loss_that_is_nan_ends_training_at_once(
    split: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trainer, "train_batch", lambda *_: float("nan"))
    with pytest.raises(UsageError, match="diverged in epoch 1: the loss is nan; try a lower lr"):
        fitted(split, tmp_path / "checkpoint.pt")
    assert not list(tmp_path.iterdir())


def test_another_recipes_checkpoint_is_refused(split: Dataset, finished: Path) -> None:
    with pytest.raises(UsageError, match=r"written under another recipe \(seed was 3, is 4\)"):
        fitted(split, finished, RECIPE.model_copy(update={"seed": 4}))


def test_a_checkpoint_may_become_another_bundle(
    split: Dataset, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(Trainer, "train_epoch")
    larger = RECIPE.export.model_copy(update={"image_size": 64})
    fitted(split, finished, RECIPE.model_copy(update={"name": "large", "export": larger}))


def test_a_checkpoint_for_other_classes_is_refused(finished: Path, tmp_path: Path) -> None:
    three = write_folders(tmp_path, {"a": [1, 2], "b": [3, 4], "c": [5, 6]})
    with pytest.raises(UsageError, match="is of 2 classes, and the data has 3"):
        fitted(read_split(three, "train"), finished)


def test_a_checkpoint_of_other_images_is_refused(
    data: Path, split: Dataset, finished: Path, tmp_path: Path
) -> None:
    moved = shutil.copytree(data, tmp_path / "elsewhere")
    fitted(read_split(moved, "train"), finished)  # the same images, wherever they lie
    fewer = Dataset(split.taxonomy, split.pictures[:-1])
    with pytest.raises(UsageError, match="written for other images"):
        fitted(fewer, finished)


def varied(**levers: object) -> Recipe:
    """The recipe with other settings of its optimisation."""
    return RECIPE.model_copy(update={"optimisation": RECIPE.optimisation.model_copy(update=levers)})


def test_a_checkpoint_older_than_a_setting_is_resumed(
    split: Dataset, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = torch.load(finished, weights_only=True)
    recipe = json.loads(state["recipe"])
    del recipe["data"], recipe["optimisation"]["layer_decay"]
    recipe["network"] = recipe.pop("backbone")  # and under the names of then
    recipe["optimisation"]["rate"] = recipe["optimisation"].pop("lr")
    torch.save(state | {"recipe": json.dumps(recipe)}, tmp_path / "earlier.pt")
    monkeypatch.delattr(Trainer, "train_epoch")
    fitted(split, tmp_path / "earlier.pt")
    with pytest.raises(UsageError, match="written under another recipe"):
        fitted(split, tmp_path / "earlier.pt", varied(layer_decay=0.8))


def test_a_probe_initialises_the_head_near_its_optimum(split: Dataset) -> None:
    losses = []
    for epochs in (0, 2):
        run = Trainer(
            varied(linear_probe_epochs=epochs, label_smoothing=0.0), split.taxonomy, STEPS, "cpu"
        )
        before = {name: value.clone() for name, value in run.network.backbone.state_dict().items()}
        if epochs:
            run.probe(split.pictures, threads=1)
            assert torch.equal(run.average["head.weight"], run.network.head.weight)
        for name, value in run.network.backbone.state_dict().items():
            assert torch.equal(value, before[name]), name
        run.network.eval()
        pixels, labels = next(training_batches(split.pictures, RECIPE, 0, 1))
        with torch.no_grad():
            losses.append(float(run.losses(run.network(normalise(pixels)), labels)))
    assert losses[1] < losses[0]


def test_what_ships_lies_between_the_probe_and_the_last_epoch(
    split: Dataset, tmp_path: Path
) -> None:
    recipe = varied(linear_probe_epochs=1, epochs=1, wise_ft_alpha=0.25)
    path = tmp_path / "checkpoint.pt"
    shipped = fitted(split, path, recipe).state_dict()
    state = torch.load(path, weights_only=True)
    for name in ("head.weight", "head.bias"):
        wanted = 0.75 * state["probed"][name] + 0.25 * state["average"][name]
        torch.testing.assert_close(shipped[name], wanted)
        assert not torch.equal(state["probed"][name], state["average"][name])
    again = fitted(split, path, recipe).state_dict()  # from its checkpoint
    assert all(torch.equal(again[name], shipped[name]) for name in shipped)


def test_there_is_nothing_to_average_with_without_a_probe() -> None:
    with pytest.raises(ValueError, match="needs linear_probe_epochs"):
        Optimisation(wise_ft_alpha=0.5)


def test_a_run_resumes_from_its_probe(
    split: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = varied(linear_probe_epochs=1, epochs=1)
    whole = fitted(split, tmp_path / "whole.pt", recipe).state_dict()
    with monkeypatch.context() as patch:
        patch.delattr(Trainer, "train_epoch")
        with pytest.raises(AttributeError):
            fitted(split, tmp_path / "stopped.pt", recipe)
    monkeypatch.delattr(Trainer, "probe")
    resumed = fitted(split, tmp_path / "stopped.pt", recipe).state_dict()
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())


@pytest.mark.parametrize("frozen", [False, True])
def test_frozen_norms_keep_their_statistics_and_learn_their_scales(
    split: Dataset, frozen: bool
) -> None:
    run = Trainer(varied(frozen_batch_norm=frozen), split.taxonomy, STEPS, "cpu")
    before = {name: value.clone() for name, value in run.network.state_dict().items()}
    run.train_epoch(split.pictures, threads=1)
    after = run.network.state_dict()
    for name in ("running_mean", "running_var", "weight"):
        kept = torch.equal(after[f"backbone.stem.1.{name}"], before[f"backbone.stem.1.{name}"])
        assert kept is (frozen and name != "weight"), name


def test_frozen_stages_learn_nothing_and_the_others_do(split: Dataset) -> None:
    run = Trainer(varied(frozen_stages=2), split.taxonomy, STEPS, "cpu")
    before = {name: value.clone() for name, value in run.network.state_dict().items()}
    run.train_epoch(split.pictures, threads=1)
    after = run.network.state_dict()
    learned = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert not [name for name in learned if name.startswith(("backbone.stem", "backbone.blocks.0"))]
    assert "backbone.blocks.1.expand.0.weight" in learned
    assert "backbone.blocks.1.expand.1.running_mean" in learned
