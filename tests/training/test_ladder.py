"""Int8 costs too much: what is tried then, and what ships."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest

from greengrocer.assemble_pipeline import build_pipeline
from greengrocer.bundles.bundle import load_bundle
from greengrocer.bundles.manifest import read_manifest
from greengrocer.context import Context
from greengrocer.datasets.dataset import LabelledImage, Taxonomy
from greengrocer.graphs.quantisation_ladder import LADDER, block_of, most_sensitive
from greengrocer.networks.recogniser import Recogniser
from greengrocer.training.learning.fit import Fitted
from greengrocer.training.recipe import Export, Recipe
from greengrocer.training.release import ladder as module
from greengrocer.training.release.attempt import Attempt
from greengrocer.training.release.export import backbone_graph
from greengrocer.training.release.ladder import Ladder, block_errors, node_names
from greengrocer.training.release.measure import pool_pixels
from greengrocer.training.release.quantisation_loss import Comparison, compare
from greengrocer.training.release.quantise import quantise
from greengrocer.training.train import train
from support.make_images import encoded, jpeg, photo
from support.networks import fit_two, pictures, square, untrained

GEOMETRY = square(64)
RECIPE = Recipe(
    name="tones",
    backbone="efficientnet-lite0",
    pretrained=False,
    export=Export(image_size=64, calibration_images=4),
)


@pytest.fixture(autouse=True)
def few_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What int8 does is not measured block by block, which takes half a minute."""
    errors = {"stem": 3.0, "block0": 1.0, "block1": 5.0, "head": 1.0}
    monkeypatch.setattr(module, "block_errors", lambda *_: errors)


@pytest.fixture
def training(tmp_path: Path) -> list[LabelledImage]:
    found = []
    for seed in range(8):
        path = tmp_path / f"{seed}.jpg"
        path.write_bytes(encoded(photo(seed, (96, 72)), "JPEG", quality=90))
        found.append(LabelledImage(path, seed % 2))
    return found


def test_blocks_by_the_names_of_their_nodes() -> None:
    assert block_of("block3/expand/relu6") == "block3"
    assert block_of("stem") == "stem"
    assert block_of("stem/relu6") == "stem"
    assert block_of("Conv12") == "Conv12"
    assert block_of("/stages/stages.0/conv/Conv") == "stages/stages.0"


def test_the_fewest_blocks_that_make_a_share_of_the_error() -> None:
    errors = {"a": 1.0, "b": 5.0, "c": 3.0, "d": 1.0}
    assert most_sensitive(errors, 0.5) == ("b",)
    assert most_sensitive(errors, 0.8) == ("b", "c")
    assert most_sensitive(errors, 1.0) == ("a", "b", "c", "d")


def test_sensitive_blocks_in_float_bring_the_answers_nearer(network: Recogniser) -> None:
    in_float, seen = backbone_graph(network.backbone, GEOMETRY), list(pictures(8, GEOMETRY))
    expected = pool_pixels(in_float, seen)

    def error(*blocks: str) -> float:
        kept = [name for name in node_names(in_float) if block_of(name) in blocks]
        found = pool_pixels(quantise(in_float, seen, kept), seen)
        return float(((found - expected) ** 2).mean())

    assert error("stem", "block0", "block1") < 0.8 * error()


@pytest.mark.accept
def test_each_block_is_compared(network: Recogniser) -> None:
    in_float = backbone_graph(network.backbone, GEOMETRY)
    errors = block_errors(in_float, list(pictures(4, GEOMETRY)))
    assert list(errors) == ["stem", *(f"block{k}" for k in range(16)), "head"]
    assert min(errors.values()) > 0


Pictures = Sequence[LabelledImage]


def climbed(
    network: Recogniser, training: Sequence[LabelledImage], accept: int, recipe: Recipe = RECIPE
) -> list[Attempt]:
    """The attempts where the one of number ``accept`` is the first that is accepted."""
    graphs: list[onnx.ModelProto] = []
    truth = np.arange(4)

    def judge(graph: onnx.ModelProto) -> Comparison:
        graphs.append(graph)
        return compare(truth, truth, truth)

    ladder = Ladder(backbone_graph(network.backbone, GEOMETRY), training, recipe, GEOMETRY)
    _, attempts = ladder.climb(training, judge, lambda _: len(graphs) <= accept)
    return attempts


@pytest.mark.accept
def test_the_rungs(network: Recogniser, training: list[LabelledImage]) -> None:
    found = [
        (a.backbone.precision, a.backbone.calibration_images, a.backbone.float_blocks)
        for a in climbed(network, training, 9)
    ]
    assert found == [
        ("int8", 4, ()),
        ("int8", 8, ()),
        ("mixed", 4, ("block1",)),
        ("mixed", 4, ("stem", "block1")),
        ("float32", 0, ()),
    ]
    assert len(climbed(network, training, 0)) == 1


def test_where_all_images_calibrate_there_are_no_more(
    network: Recogniser, training: list[LabelledImage]
) -> None:
    every = RECIPE.model_copy(update={"export": Export(image_size=64, calibration_images=400)})
    ladder = Ladder(backbone_graph(network.backbone, GEOMETRY), training, every, GEOMETRY)
    assert [ladder.is_new(rung) for rung in LADDER] == [True, False, True, True, True]


@pytest.mark.accept
def test_what_was_found_is_kept_though_the_process_ends(
    network: Recogniser,
    training: list[LabelledImage],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    truth = np.arange(4)
    asked = []

    class Killed(BaseException):
        pass

    def climb(most: int, images: Sequence[LabelledImage] = training) -> list[Attempt]:
        def judge(graph: onnx.ModelProto) -> Comparison:
            asked.append(graph)
            if len(asked) > most:
                raise Killed
            return compare(truth, truth, truth)

        backbone = backbone_graph(network.backbone, GEOMETRY)
        ladder = Ladder(backbone, training, RECIPE, GEOMETRY, tmp_path / "shop.gate.npz")
        return ladder.climb(images, judge, lambda _: True)[1]

    with pytest.raises(Killed):
        climb(most=3)
    monkeypatch.delattr(module, "block_errors")
    asked.clear()
    attempts = climb(most=2)
    assert [a.backbone.precision for a in attempts] == ["int8"] * 2 + ["mixed"] * 2 + ["float32"]
    assert len(asked) == 2, "of the first three, the answers are known"
    asked.clear()
    assert [a.backbone.graph for a in climb(0)] == [a.backbone.graph for a in attempts]
    with pytest.raises(Killed):
        climb(0, training[:4])  # judged by others: nothing is known of that
    (tmp_path / "shop.gate.npz").write_bytes(b"PK damaged")
    with pytest.raises(Killed):
        climb(0)


@pytest.mark.accept
@pytest.mark.parametrize("folds", [None, 2])
def test_a_training_that_ended_ships_whatever_int8_costs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folds: int | None
) -> None:
    def fit(recipe: Recipe, _: Taxonomy, pictures: Pictures, state: Path, *__: object) -> Fitted:
        state.touch()
        return Fitted(fit_two(untrained(recipe.backbone, 2), pictures, 64), "cpu", "float32", 1)

    monkeypatch.setattr("greengrocer.training.job.fit", fit)
    monkeypatch.setattr("greengrocer.training.train.costs_too_much", lambda _: True)
    monkeypatch.setattr("greengrocer.training.out_of_fold.costs_too_much", lambda _: True)
    for label, tone in enumerate(("dark", "light")):
        (tmp_path / "data" / tone).mkdir(parents=True)
        for number in range(8):
            path = tmp_path / "data" / tone / f"{number}.jpg"
            level = 40 + 140 * label + 5 * (number // 2)
            path.write_bytes(jpeg(level))
    out = train(RECIPE, tmp_path / "data", tmp_path / "out", "cpu", folds=folds)
    manifest = read_manifest(out)
    told = manifest.provenance["quantisation"]
    assert told["shipped"] == "float32"
    tried = told["attempts"] if folds is None else told["out_of_fold"]
    assert [each["precision"] for each in tried] == ["int8", "int8", "mixed", "mixed", "float32"]
    assert [each["accepted"] for each in tried] == [False] * 4 + [True]
    assert not [name for name in manifest.metrics if "int8" in name]
    card = " ".join((out / "MODEL_CARD.md").read_text().split())
    assert "**numbers**: float32; it costs too much in int8" in card
    build_pipeline(load_bundle(out)).classify(jpeg(180), Context())
