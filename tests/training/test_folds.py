import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from greengrocer.assemble_pipeline import build_pipeline
from greengrocer.bundles.bundle import load_bundle
from greengrocer.bundles.manifest import read_manifest
from greengrocer.context import Context
from greengrocer.datasets.dataset import LabelledImage, Taxonomy, read_split
from greengrocer.errors import DatasetUnusable, UsageError
from greengrocer.serving.resources import usable_processors
from greengrocer.training.data.embeddings import embed_images
from greengrocer.training.data.scenes import group_scenes
from greengrocer.training.job import TrainingJob
from greengrocer.training.learning.fit import Fitted
from greengrocer.training.learning.precision import Precision
from greengrocer.training.learning.teacher import Teacher
from greengrocer.training.plan import plan
from greengrocer.training.recipe import Data, Export, Recipe
from greengrocer.training.train import train
from support.make_images import encoded, photo
from support.networks import fit_two, untrained

pytestmark = pytest.mark.leg("training")

RECIPE = Recipe(
    name="tones",
    backbone="efficientnet-lite0",
    pretrained=False,
    export=Export(image_size=64, calibration_images=8),
)
FOLDS = 3
TONES = {"dark": 50, "light": 200}
SEEDS = [scene for scene in range(10) for _ in range(2)]  # each image twice: a scene of two

Fits = dict[str, list[Path]]


def toned(seed: int, tone: str) -> bytes:
    """A random image, faint on a plain ground: even an untrained network tells the grounds."""
    plain = Image.new("RGB", (96, 72), (TONES[tone],) * 3)
    return encoded(Image.blend(plain, photo(seed, plain.size), 0.2), "JPEG", quality=90)


def write_tones(directory: Path, seeds: Sequence[int]) -> Path:
    for tone in TONES:
        (directory / tone).mkdir(parents=True)
        for number, seed in enumerate(seeds):
            (directory / tone / f"{number}.jpg").write_bytes(toned(seed, tone))
    return directory


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tones(tmp_path_factory.mktemp("folds") / "data", SEEDS)


def stub_fit(
    monkeypatch: pytest.MonkeyPatch, before: Callable[[Path], None] = lambda _: None
) -> Fits:
    """Let a fit take an instant, after ``before``; return the images of each, by checkpoint."""
    done: Fits = {}

    def fit(
        recipe: Recipe,
        taxonomy: Taxonomy,
        pictures: Sequence[LabelledImage],
        checkpoint: Path,
        device: str,
        threads: int,
        teacher: Teacher | None,
        precision: Precision | None,
        judged: Sequence[LabelledImage],
        *_: object,
    ) -> Fitted:
        assert teacher is None
        assert (taxonomy.classes, device) == (("dark", "light"), "cpu")
        assert threads == usable_processors()
        assert precision is not None
        assert not judged
        before(checkpoint)
        done[checkpoint.name] = [picture.path for picture in pictures]
        network = fit_two(untrained(recipe.backbone, 2), pictures, recipe.export.image_size)
        return Fitted(network, device, precision, 1)

    monkeypatch.setattr("greengrocer.training.job.fit", fit)
    return done


def trained(data: Path, out: Path, folds: int = FOLDS, recipe: Recipe = RECIPE) -> Path:
    return train(recipe, data, out, "cpu", folds=folds)


def stored(out: Path) -> dict[str, np.ndarray]:
    with np.load(out.with_name(f"{out.name}.out_of_fold.npz"), allow_pickle=False) as file:
        return dict(file)


@pytest.fixture(scope="module")
def finished(data: Path) -> tuple[Path, Fits]:
    """A bundle, and what was fitted for it."""
    with pytest.MonkeyPatch.context() as patch:
        fits = stub_fit(patch)
        return trained(data, data.with_name("bundle")), fits


@pytest.mark.accept
def test_a_bundle_trained_on_all_images_is_calibrated_by_folds(finished: tuple[Path, Fits]) -> None:
    bundle, fits = finished
    assert sum(len(pictures) for pictures in fits.values()) == (FOLDS - 1) * 40 + 40
    assert list(fits) == [
        *(f"bundle.fold{fold}of3.checkpoint.pt" for fold in (1, 2, 3)),
        "bundle.refit.checkpoint.pt",
    ]
    manifest = read_manifest(bundle)
    assert manifest.provenance["training"] == {"split": "train", "pictures": 40}
    assert manifest.provenance["out_of_fold"] == {"folds": 3, "of": "scenes", "pictures": 40}
    assert "held_out" not in manifest.provenance
    found = manifest.metrics
    assert found["out_of_fold_pictures"] == 40
    assert found["out_of_fold_top1"] >= 95
    assert found["out_of_fold_int8_gain_low"] < 0 < found["out_of_fold_int8_gain_high"]
    assert 0 < found["out_of_fold_nll"] < 0.2  # few images, all right, leave some doubt
    assert found["refit_int8_agreement"] >= 98
    pipeline = build_pipeline(load_bundle(bundle))
    for tone in TONES:
        assert pipeline.classify(toned(99, tone), Context()).top[0].name == tone


def test_no_fold_model_answers_for_a_scene_it_was_trained_on(
    data: Path, finished: tuple[Path, Fits]
) -> None:
    bundle, fits = finished
    pictures = read_split(data, "train").pictures
    groups = group_scenes(pictures, embed_images(pictures, RECIPE).embeddings)
    scenes = dict(zip((p.path for p in pictures), groups, strict=True))
    assert len(set(scenes.values())) == 20
    answers = stored(bundle)
    for fold in range(FOLDS):
        seen = {scenes[path] for path in fits[f"bundle.fold{fold + 1}of3.checkpoint.pt"]}
        answered = {
            scenes[p.path] for p, f in zip(pictures, answers["fold"], strict=True) if f == fold
        }
        assert answered
        assert not seen & answered
    assert answers["names"][0] == "dark/0.jpg"
    assert answers["in_int8"].shape == answers["in_float"].shape == (40, 2)


@pytest.mark.accept
def test_a_run_killed_between_folds_resumes_after_the_finished_ones(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die_in_the_second(checkpoint: Path) -> None:
        if "fold2of3" in checkpoint.name:
            raise KeyboardInterrupt

    out = tmp_path / "bundle"
    stub_fit(monkeypatch, die_in_the_second)
    with pytest.raises(KeyboardInterrupt):
        trained(data, out)
    first = stored(out)
    answered = ~np.isnan(first["in_int8"]).any(axis=1)
    assert answered.tolist() == (first["fold"] == 0).tolist()
    fits = stub_fit(monkeypatch)
    trained(data, out)
    assert [name.split(".")[1] for name in fits] == ["fold2of3", "fold3of3", "refit"]
    whole = stored(out)
    np.testing.assert_array_equal(whole["in_int8"][answered], first["in_int8"][answered])
    assert not np.isnan(whole["in_int8"]).any()


def test_thresholds_can_be_set_again_without_training(
    data: Path, finished: tuple[Path, Fits], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(finished[0].with_name("bundle.out_of_fold.npz"), tmp_path)
    fits = stub_fit(monkeypatch)
    stricter = RECIPE.export.model_copy(update={"known_quantile": 0.2})
    trained(data, tmp_path / "bundle", recipe=RECIPE.model_copy(update={"export": stricter}))
    assert list(fits) == ["bundle.refit.checkpoint.pt"]
    manifests = [read_manifest(b) for b in (finished[0], tmp_path / "bundle")]
    thresholds = [each.known_threshold or 0 for each in manifests]
    assert thresholds[0] < thresholds[1]


def test_folds_of_shops_keep_scenes_whole(data: Path, tmp_path: Path) -> None:
    recipe = RECIPE.model_copy(update={"data": Data(folds="shops")})
    planned = plan(TrainingJob(recipe, data, tmp_path / "bundle", "cpu", 1), FOLDS)
    assert planned.origin["out_of_fold"] == {"folds": 3, "of": "shops", "pictures": 40}
    assert planned.folds is not None
    of_scene: dict[bytes, set[int]] = {}
    for image, fold in zip(planned.folds.everything.pictures, planned.folds.where, strict=True):
        of_scene.setdefault(image.path.read_bytes(), set()).add(int(fold))
    assert len(of_scene) == 20
    assert all(len(folds) == 1 for folds in of_scene.values())


@pytest.mark.accept
def test_held_out_images_are_answered_at_each_size(
    data: Path, finished: tuple[Path, Fits], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(finished[0].with_name("bundle.out_of_fold.npz"), tmp_path)  # of one size
    plain = stored(finished[0])
    assert not {"sizes", "sized_logits", "sized_known_score"} & plain.keys()
    fits = stub_fit(monkeypatch)
    sizes = RECIPE.export.model_copy(update={"judged_sizes": (0.5, 1.0, 2.0)})
    recipe = RECIPE.model_copy(update={"export": sizes})
    bundle = trained(data, tmp_path / "bundle", recipe=recipe)
    assert len(fits) == FOLDS + 1  # the networks answer again
    found = stored(bundle)
    assert found["sizes"].tolist() == [0.5, 1.0, 2.0]
    assert found["sized_logits"].shape == (3, 40, 2)
    assert found["sized_known_score"].shape == (3, 40)
    np.testing.assert_array_equal(found["sized_logits"][1], plain["in_int8"])
    np.testing.assert_array_equal(found["in_int8"], plain["in_int8"])
    assert not np.isnan(found["sized_logits"]).any()
    assert not np.array_equal(found["sized_logits"][0], found["in_int8"])
    before, after = read_manifest(finished[0]), read_manifest(bundle)
    assert before.metrics.items() <= after.metrics.items()
    assert after.metrics["out_of_fold_top1_at_0.5"] >= 90
    assert after.metrics["out_of_fold_top1_worst_size"] <= after.metrics["out_of_fold_top1"]
    assert before.known_threshold == after.known_threshold

    shutil.rmtree(bundle)
    fits = stub_fit(monkeypatch)
    trained(data, bundle, recipe=recipe)
    assert list(fits) == ["bundle.refit.checkpoint.pt"]  # what the folds answered is kept
    shutil.rmtree(bundle)
    del found["sized_logits"]
    np.savez(tmp_path / "bundle.out_of_fold.npz", **found)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="holds no answers at the sizes of its recipe: delete it"):
        trained(data, bundle, recipe=recipe)


def test_answers_of_another_training_are_refused(
    data: Path, finished: tuple[Path, Fits], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(finished[0].with_name("bundle.out_of_fold.npz"), tmp_path)
    fits = stub_fit(monkeypatch)
    with pytest.raises(UsageError, match=r"of 3 folds, not 2: delete .*, or name another --out"):
        trained(data, tmp_path / "bundle", folds=2)
    with pytest.raises(UsageError, match=r"under another recipe \(seed was 0, is 9\): delete"):
        trained(data, tmp_path / "bundle", recipe=RECIPE.model_copy(update={"seed": 9}))
    (tmp_path / "bundle.out_of_fold.npz").write_bytes(b"PK damaged")
    with pytest.raises(UsageError, match="cannot be read, delete it"):
        trained(data, tmp_path / "bundle")
    assert not fits


def test_classes_of_one_scene_cannot_be_judged_by_folds(tmp_path: Path) -> None:
    with pytest.raises(DatasetUnusable, match="no class has two scenes"):
        trained(write_tones(tmp_path / "data", [1, 1, 1]), tmp_path / "bundle")
