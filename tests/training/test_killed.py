"""A ``greengrocer train`` that was killed and run again gives the same bundle."""

import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from greengrocer.bundles.bundle import load_bundle
from greengrocer.bundles.manifest import GRAPH, WEIGHTS
from greengrocer.bundles.unfinished import PREFIX as UNFINISHED
from support.make_images import encoded, photo
from support.trainings import Training

pytestmark = [pytest.mark.accept, pytest.mark.leg("kills")]

RECIPE = """
name = "tones"
seed = 3
backbone = "efficientnet-lite0"
pretrained = false
augmentation = { image_size = 32 }
optimisation = { epochs = 2, batch_size = 4, ema_decay = 0.5 }
export = { image_size = 32, calibration_images = 4 }
"""
TONES = {"dark": 50, "light": 200}
EPOCH = "epoch 1: loss"  # printed after its checkpoint is written


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "tones.toml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random images, faint on a dark or a light ground; each twice, which makes it a scene."""
    directory = tmp_path_factory.mktemp("data")
    for tone, level in TONES.items():
        (directory / tone).mkdir()
        for number in range(16):
            plain = Image.new("RGB", (96, 72), (level,) * 3)
            faint = Image.blend(plain, photo(number // 2, plain.size), 0.2)
            (directory / tone / f"{number}.jpg").write_bytes(encoded(faint, "JPEG", quality=90))
    return directory


class Finished:
    """A training's bundle, and the losses that it printed."""

    def __init__(self, training: Training, out: Path) -> None:
        self.training = training
        self.losses = losses(training.finish(out))
        self.bundle = undated(out)

    def assert_reached_again(self, killed: list[str], out: Path) -> None:
        """The killed run's command, given again, ends alike and repeats no finished epoch."""
        assert not out.exists()
        cut_in_half(out.parent)
        rest = losses(self.training.finish(out))
        assert undated(out) == self.bundle
        assert rest == self.losses[len(self.losses) - len(rest) :]
        assert len(losses(killed)) + len(rest) <= len(self.losses)
        assert not unfinished_in(out.parent)


@pytest.fixture(scope="module")
def with_folds(recipe: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    training = Training(recipe, data, ("--folds", "2"))
    return Finished(training, tmp_path_factory.mktemp("with_folds") / "bundle")


def losses(lines: list[str]) -> list[str]:
    """The lines that tell an epoch's loss, without the time that is left."""
    told = (line for line in lines if re.match(r"epoch \d+: loss", line))
    return [re.sub(r", [^,]* left$", "", line.rstrip()) for line in told]


def undated(out: Path) -> dict[str, Any]:
    """The manifest of a bundle whose files match their digests, without the day it was made."""
    manifest: dict[str, Any] = load_bundle(out).manifest.model_dump()
    assert {GRAPH, WEIGHTS} <= manifest["files"].keys()
    manifest["version"] = manifest["version"].partition("-")[2]
    del manifest["provenance"]["date"]
    manifest["files"].pop("MODEL_CARD.md", None)  # it tells the date, and what the manifest does
    return manifest


def unfinished_in(directory: Path) -> list[Path]:
    """What a kill amid a writing left behind."""
    return [*directory.glob("*.part"), *directory.glob(f"{UNFINISHED}*")]


def cut_in_half(directory: Path) -> None:
    """Leave unfinished files as a kill amid their writing would."""
    for left in unfinished_in(directory):
        for path in [left, *left.rglob("*")]:
            if path.is_file():
                with path.open("r+b") as file:
                    file.truncate(path.stat().st_size // 2)


@pytest.mark.parametrize(
    ("line", "times"),
    [(EPOCH, 1), ("fold2of2", 1), (EPOCH, 3)],
    ids=["within the first fold", "after the first fold", "within the refit"],
)
def test_a_run_killed_during_training_resumes(
    with_folds: Finished, tmp_path: Path, line: str, times: int
) -> None:
    out = tmp_path / "bundle"
    killed = with_folds.training.kill_at_line(out, line, times)
    with_folds.assert_reached_again(killed, out)


@pytest.mark.parametrize(
    ("event", "name", "times"),
    [
        ("os.rename", "bundle.fold1of2.checkpoint.pt", 2),
        ("os.rename", "bundle.out_of_fold.npz", 2),
        ("os.rename", "bundle", 2),  # the first is that of the rehearsal
    ],
    ids=["checkpoint", "answers", "bundle"],
)
def test_a_run_killed_while_writing_a_checkpoint_resumes(
    with_folds: Finished, tmp_path: Path, event: str, name: str, times: int
) -> None:
    out = tmp_path / "bundle"
    killed = with_folds.training.kill_at_file(out, event, name, times)
    assert unfinished_in(tmp_path)
    with_folds.assert_reached_again(killed, out)


def test_a_run_without_folds_that_is_killed_resumes(
    recipe: Path, data: Path, tmp_path: Path
) -> None:
    (tmp_path / "killed").mkdir()
    without_folds = Finished(Training(recipe, data), tmp_path / "finished" / "bundle")
    out = tmp_path / "killed" / "bundle"
    killed = without_folds.training.kill_at_line(out, EPOCH, 1)
    without_folds.assert_reached_again(killed, out)


@pytest.fixture(scope="module")
def with_refit(recipe: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    refitted = tmp_path_factory.mktemp("refit") / "tones.toml"
    refitted.write_text(f"{recipe.read_text()}data = {{ refit = true }}\n")
    finished = Finished(Training(refitted, data), tmp_path_factory.mktemp("with_refit") / "bundle")
    assert len(finished.losses) == 4, "two fits of two epochs"
    assert finished.bundle["provenance"]["training"]["pictures"] == 32
    return finished


@pytest.mark.parametrize(
    ("line", "times"), [(EPOCH, 1), (EPOCH, 2)], ids=["within the first fit", "within the second"]
)
def test_a_run_that_refits_and_is_killed_resumes(
    with_refit: Finished, tmp_path: Path, line: str, times: int
) -> None:
    out = tmp_path / "bundle"
    killed = with_refit.training.kill_at_line(out, line, times)
    with_refit.assert_reached_again(killed, out)
    assert not (tmp_path / "bundle.judged").exists()


def test_a_run_that_is_killed_while_its_first_bundle_is_written_resumes(
    with_refit: Finished, tmp_path: Path
) -> None:
    out = tmp_path / "bundle"
    killed = with_refit.training.kill_at_file(out, "os.rename", "bundle.judged", 1)
    with_refit.assert_reached_again(killed, out)
    assert not (tmp_path / "bundle.judged").exists()


@pytest.mark.parametrize(
    "line",
    ["quantising", "judging", "int8"],
    ids=["during the export", "before the gate", "after the gate"],
)
def test_killed_after_its_last_epoch(recipe: Path, data: Path, tmp_path: Path, line: str) -> None:
    (tmp_path / "killed").mkdir()
    finished = Finished(Training(recipe, data), tmp_path / "finished" / "bundle")
    out = tmp_path / "killed" / "bundle"
    killed = finished.training.kill_at_line(out, line, 1)
    assert len(losses(killed)) == 2
    finished.assert_reached_again(killed, out)
