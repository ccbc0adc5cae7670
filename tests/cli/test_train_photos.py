"""``greengrocer train PHOTOS`` to its end, with an untrained network instead of minutes."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from greengrocer.assemble_pipeline import build_pipeline
from greengrocer.bundles.bundle import load_bundle
from greengrocer.bundles.manifest import read_manifest
from greengrocer.cli.main import main
from greengrocer.context import Context
from greengrocer.datasets.dataset import LabelledImage, Taxonomy
from greengrocer.errors import BundleRefused
from greengrocer.figures.learning_curve import Point
from greengrocer.training import one_command
from greengrocer.training.choose import StepCost
from greengrocer.training.learning.fit import Fitted
from greengrocer.training.measured_step import Way
from greengrocer.training.recipe import Recipe, read_recipe
from support.make_images import jpeg
from support.networks import fit_two, untrained
from support.servers import clean_environment

CURVE = (Point(1, 0.9, 1, 2), Point(2, 0.3, 2, 2))


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six dark and six light images, in the directory in which the command runs."""
    for name, level in (("dark", 40), ("light", 180)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(6):
            (tmp_path / "photos" / name / f"{number}.jpg").write_bytes(jpeg(level + 6 * number))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Path("photos")


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[Recipe]:
    """No step is measured; each fit is noted, and is a ridge regression."""
    found = []

    def fit(recipe: Recipe, _: Taxonomy, pictures: Sequence[LabelledImage], *__: object) -> Fitted:
        found.append(recipe)
        network = fit_two(untrained(recipe.backbone, 2), pictures, recipe.export.image_size)
        return Fitted(network, "cpu", "float32", 2, CURVE)

    way, step = Way(torch.get_num_threads(), "float32"), StepCost(0.01, 0.05)
    monkeypatch.setattr(one_command, "fastest_way", lambda _: (way, step, {way: 0.4}))
    monkeypatch.setattr(one_command, "measure", lambda *_: step)
    monkeypatch.setattr("greengrocer.training.job.fit", fit)
    return found


def test_photos_become_a_bundle_and_a_report(
    photos: Path, fits: list[Recipe], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", str(photos), "--seed", "3", "--device", "cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    bundle = Path("runs/photos")
    assert lines[-1] == f"wrote {bundle}: try `greengrocer serve --bundle {bundle}`"
    assert lines[-2] == "the model that ships has learned from the held-out images as well"
    assert "held-out images are right (95 % interval" in lines[-3]
    assert lines[-3].endswith(f"the report is {bundle}/report/index.html")
    recipe, again = fits
    assert again == recipe
    assert recipe.data.refit
    assert recipe.seed == 3
    assert recipe == read_recipe(Path("runs/photos.recipe.toml"))
    page = (bundle / "report" / "index.html").read_text()
    assert "How it learned" in page
    assert f"The one that ships, {read_manifest(bundle).version}, has learned" in page
    manifest = read_manifest(bundle)
    assert manifest.provenance["curve"] == [point._asdict() for point in CURVE]
    assert manifest.provenance["training"]["pictures"] == 12
    judged = manifest.provenance["out_of_fold"]["pictures"]
    assert manifest.metrics["out_of_fold_pictures"] == judged < 12
    assert not Path("runs/photos.judged").exists()
    pipeline = build_pipeline(load_bundle(bundle))
    assert pipeline.classify(jpeg(200), Context()).top[0].name == "light"


@pytest.mark.accept
def test_a_run_that_was_stopped_before_its_report_only_writes_that(
    photos: Path, fits: list[Recipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    command = ["train", str(photos), "--device", "cpu"]
    with monkeypatch.context() as patch:
        patch.setattr("greengrocer.cli.train_photos.write_report", stop)
        assert main(command) != 0
    Path("runs/photos/report").mkdir()
    assert main(command) == 0
    assert len(fits) == 2
    assert Path("runs/photos/report/index.html").is_file()
    assert not Path("runs/photos.judged").exists()


def test_a_folder_that_is_called_as_the_first_bundle_would_be_is_left_alone(
    photos: Path, fits: list[Recipe], capsys: pytest.CaptureFixture[str]
) -> None:
    kept = Path("runs/photos.judged/mine.txt")
    kept.parent.mkdir(parents=True)
    kept.write_text("mine")
    assert main(["train", str(photos), "--device", "cpu"]) == 2
    assert "runs/photos.judged" in capsys.readouterr().err
    assert kept.read_text() == "mine"
    assert not fits


@pytest.mark.accept
def test_a_split_val_of_ones_own_is_not_trained_on(
    photos: Path, fits: list[Recipe], capsys: pytest.CaptureFixture[str]
) -> None:
    for split, numbers in (("train", range(4)), ("val", range(4, 6))):
        for name in ("dark", "light"):
            (photos / split / name).mkdir(parents=True)
            for number in numbers:
                (photos / name / f"{number}.jpg").rename(photos / split / name / f"{number}.jpg")
    for name in ("dark", "light"):
        (photos / name).rmdir()
    assert main(["train", str(photos), "--device", "cpu"]) == 0
    assert len(fits) == 1
    manifest = read_manifest(Path("runs/photos"))
    assert manifest.metrics["held_out_pictures"] == 4
    assert "learned from the held-out" not in capsys.readouterr().out


@pytest.mark.accept
def test_a_bundle_that_does_not_reproduce_its_answers_is_none(
    photos: Path,
    fits: list[Recipe],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuse(*_: object) -> None:
        raise BundleRefused("goldens/1.jpg is answered light, not dark")

    command = ["train", str(photos), "--device", "cpu"]
    with monkeypatch.context() as patch:
        patch.setattr("greengrocer.training.release.replay.replay_goldens", refuse)
        assert main(command) == 2
    told = capsys.readouterr().err
    assert "the bundle does not reproduce its own answers: goldens/1.jpg is answered light" in told
    assert not list(Path("runs").glob("photos*/")), "nothing lies where a bundle is expected"
    assert main(command) == 0
    assert len(fits) == 3  # the first was refused before the second


def test_flags_that_choose_a_recipe_do_not_go_with_one(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", str(photos), "--recipe", "x.toml", "--minutes", "5"]) == 2
    assert "--minutes and --seed choose a recipe" in capsys.readouterr().err


@pytest.mark.parametrize("seed", ["-1", "1.5", "many", str(2**32), "9" * 5000])
def test_a_seed_is_a_whole_number(seed: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "photos", "--quick", f"--seed={seed}"])
    assert "is not a whole number from 0" in capsys.readouterr().err


def test_one_class_is_refused_in_a_line(
    photos: Path, fits: list[Recipe], capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (photos / "dark").iterdir():
        path.unlink()
    assert main(["train", str(photos)]) == 2
    found = capsys.readouterr()
    assert "photos: 6 images of 1 class, 6 to 6 a class" in found.out
    assert found.err.splitlines()[-1].startswith("greengrocer: photos cannot be trained on: see")
    assert not fits


READ = """
import sys
from greengrocer.cli import train
assert "torch" not in sys.modules
train._spin_little()
import torch
"""


@pytest.mark.parametrize(
    ("given", "spins"),
    [({}, "1000"), ({"GOMP_SPINCOUNT": "70000"}, "70000"), ({"OMP_WAIT_POLICY": "PASSIVE"}, "0")],
)
def test_threads_that_wait_give_up_the_processor_unless_told_otherwise(
    given: dict[str, str], spins: str
) -> None:
    environment = clean_environment()
    environment.pop("GOMP_SPINCOUNT", None)  # a training in this process has set it
    environment |= given | {"OMP_DISPLAY_ENV": "verbose"}
    done = subprocess.run(
        [sys.executable, "-c", READ], env=environment, capture_output=True, text=True, check=True
    )
    if "GOMP_SPINCOUNT" not in done.stderr:
        pytest.skip("PyTorch was built with another OpenMP than GNU's")
    assert f"GOMP_SPINCOUNT = '{spins}'" in done.stderr
