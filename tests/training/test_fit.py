import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from greengrocer.datasets.labelled import LabelledSet, read_split
from greengrocer.errors import UsageError
from greengrocer.networks.recogniser import Recogniser
from greengrocer.training.fit import Run, fit
from greengrocer.training.recipe import Augmentation, Optimisation, Recipe
from support.folders import write_folders
from support.servers import clean_environment
from support.waiting import until

RECIPE = Recipe(
    name="greys",
    seed=3,
    network="efficientnet-lite0",
    pretrained=False,
    augmentation=Augmentation(size=32),
    optimisation=Optimisation(epochs=3, batch=4),
)
STEPS = 2  # an epoch: 8 pictures in batches of 4

# Trains as ``greengrocer train`` does, but stands still in the second epoch's second batch, where
# it makes the file that its last argument names.
VICTIM = """
import sys, threading
from pathlib import Path
import torch
from greengrocer.datasets.labelled import read_split
from greengrocer.training.fit import Run, fit
from greengrocer.training.recipe import Recipe

data, checkpoint, recipe, mark = sys.argv[1:]
torch.set_num_threads(1)
train_batch = Run._train_batch

def stand_still(self, pixels, labels):
    if self.step == 3:
        Path(mark).touch()
        threading.Event().wait()
    return train_batch(self, pixels, labels)

Run._train_batch = stand_still
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
def split(data: Path) -> LabelledSet:
    return read_split(data, "train")


@pytest.fixture(scope="module")
def finished(split: LabelledSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a run that nothing interrupted."""
    checkpoint = tmp_path_factory.mktemp("finished") / "checkpoint.pt"
    fitted(split, checkpoint)
    return checkpoint


def fitted(split: LabelledSet, checkpoint: Path, recipe: Recipe = RECIPE) -> Recogniser:
    return fit(recipe, split.taxonomy, split.pictures, checkpoint, threads=2)


def test_a_killed_run_goes_on_to_the_same_weights_bit_by_bit(
    data: Path, split: LabelledSet, finished: Path, tmp_path: Path
) -> None:
    checkpoint, mark = tmp_path / "checkpoint.pt", tmp_path / "mark"
    arguments = [str(data), str(checkpoint), RECIPE.model_dump_json(), str(mark)]
    process = subprocess.Popen(
        [sys.executable, "-c", VICTIM, *arguments],
        env=clean_environment(),
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: mark.exists() or process.poll() is not None)
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
    split: LabelledSet, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(Run, "train_epoch")
    assert not fitted(split, finished).training


def test_another_recipes_checkpoint_is_refused(split: LabelledSet, finished: Path) -> None:
    with pytest.raises(UsageError, match="written under another recipe"):
        fitted(split, finished, RECIPE.model_copy(update={"seed": 4}))


def test_a_checkpoint_for_other_classes_is_refused(finished: Path, tmp_path: Path) -> None:
    three = write_folders(tmp_path, {"a": [1, 2], "b": [3, 4], "c": [5, 6]})
    with pytest.raises(UsageError, match="or for other classes"):
        fitted(read_split(three, "train"), finished)
