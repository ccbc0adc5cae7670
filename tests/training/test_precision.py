"""bfloat16 is used where the CPU has it, and a run keeps its precision."""

import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from greengrocer.datasets.dataset import Dataset, read_split
from greengrocer.networks.recogniser import Recogniser
from greengrocer.training.job import HOLD_OUT, TrainingJob, checkpoint
from greengrocer.training.learning import precision as choosing
from greengrocer.training.learning.fit import Fitted, Trainer, fit
from greengrocer.training.learning.precision import (
    Asked,
    Precision,
    autocast,
    choose_precision,
    has_bfloat16,
)
from greengrocer.training.recipe import Augmentation, Optimisation, Recipe
from support.folders import write_folders
from support.servers import clean_environment

RECIPE = Recipe(
    name="greys",
    seed=3,
    backbone="efficientnet-lite0",
    pretrained=False,
    augmentation=Augmentation(image_size=32),
    optimisation=Optimisation(epochs=2, batch_size=4, linear_probe_epochs=1),
)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """The order of sums depends on the number of threads, and with it the last bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    levels = {"dark": [10, 20, 30, 40], "light": [200, 210, 220, 230]}
    return read_split(write_folders(tmp_path_factory.mktemp("data"), levels), "train")


def pretend(monkeypatch: pytest.MonkeyPatch, has: bool) -> None:
    """Let the processor have bfloat16, or not."""
    monkeypatch.setattr(choosing, "has_bfloat16", lambda: has)


@pytest.mark.parametrize(
    ("asked", "device", "has", "begun", "taken", "told"),
    [
        ("auto", "cpu", True, None, "bfloat16", "bfloat16, for the cpu has it"),
        ("auto", "cpu", False, None, "float32", "float32, for this processor has no bfloat16"),
        ("auto", "cuda", False, None, "bfloat16", "bfloat16, for the cuda has it"),
        ("float32", "cpu", True, None, "float32", "float32, as the recipe says"),
        ("bfloat16", "cpu", False, None, "bfloat16", "as the recipe says, though this processor"),
        ("auto", "cpu", False, "bfloat16", "bfloat16", "began, though this processor has no"),
        ("auto", "cpu", True, "float32", "float32", "float32, in which this training began"),
    ],
)
def test_the_chosen_precision_is_printed(
    asked: Asked,
    device: str,
    has: bool,
    begun: Precision | None,
    taken: Precision,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pretend(monkeypatch, has)
    assert choose_precision(asked, device, begun) == taken
    (line,) = capsys.readouterr().out.splitlines()
    assert told in line


@pytest.mark.parametrize(("flags", "has"), [({"avx512_bf16": True}, True), ({"avx2": True}, False)])
def test_a_processors_flags_are_read(
    flags: dict[str, bool], has: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(choosing, "onednn_takes_it", lambda: True)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: flags, raising=False)
    assert has_bfloat16() is has


@pytest.mark.parametrize(("line", "has"), [("fp asimd bf16 i8mm", True), ("fp asimd", False)])
def test_an_arm_processors_flags_are_read(
    line: str, has: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nFeatures\t: {line}\n")
    monkeypatch.setattr(choosing, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    monkeypatch.setattr(choosing, "onednn_takes_it", lambda: True)
    assert has_bfloat16() is has


def test_a_limited_library_is_considered() -> None:
    ask = "from greengrocer.training.learning.precision import *; print(has_bfloat16())"
    environment = clean_environment() | {"ONEDNN_MAX_CPU_ISA": "AVX2"}
    done = subprocess.run(
        [sys.executable, "-c", ask], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


@pytest.mark.parametrize("taken", ["float32", "bfloat16"])
def test_a_network_computes_in_the_chosen_precision(taken: Precision) -> None:
    network = Recogniser("efficientnet-lite0", 2).train()
    with autocast("cpu", taken):
        logits = network(torch.zeros(2, 3, 32, 32))
    assert logits.dtype == getattr(torch, taken)


def fitted(split: Dataset, out: Path, recipe: Recipe = RECIPE) -> Fitted:
    return fit(recipe, split.taxonomy, split.pictures, checkpoint(out, HOLD_OUT), threads=2)


def test_a_run_resumes_in_its_original_precision(
    split: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, False)
    whole = fitted(split, tmp_path / "whole")
    assert whole.precision == "float32"
    with monkeypatch.context() as patch:
        patch.delattr(Trainer, "train_epoch")
        with pytest.raises(AttributeError):
            fitted(split, tmp_path / "moved")
    pretend(monkeypatch, True)
    job = TrainingJob(RECIPE, Path(), tmp_path / "moved", "cpu", 1)
    assert job.begun([HOLD_OUT, "refit"]) == "float32"
    moved = fitted(split, tmp_path / "moved")
    assert moved.precision == "float32"
    expected = whole.network.state_dict()
    for name, value in moved.network.state_dict().items():
        assert torch.equal(value, expected[name]), name


def test_a_checkpoint_without_a_precision_is_bfloat16(
    split: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, True)
    fitted(split, tmp_path / "old")
    path = checkpoint(tmp_path / "old", HOLD_OUT)
    state = torch.load(path, weights_only=True)
    del state["precision"], state["devices"]
    torch.save(state, path)
    pretend(monkeypatch, False)
    assert fitted(split, tmp_path / "old").precision == "bfloat16"
