"""A model that looks at the whole frame and at its middle: the same in the graph and in PyTorch."""

import dataclasses
import json
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from greengrocer.assemble_pipeline import build_pipeline
from greengrocer.bundles.bundle import load_bundle
from greengrocer.bundles.card import CARD
from greengrocer.bundles.manifest import GRAPH, MANIFEST, Network, read_manifest
from greengrocer.context import Context
from greengrocer.datasets.dataset import LabelledImage
from greengrocer.engines.engine import ONE_THREAD
from greengrocer.engines.onnx_engine import OnnxEngine
from greengrocer.engines.torch_engine import TorchEngine
from greengrocer.errors import BundleRefused, UsageError
from greengrocer.graphs.nodes import from_pixels
from greengrocer.graphs.parts import take_apart
from greengrocer.graphs.views import with_views
from greengrocer.imaging.geometry import Geometry
from greengrocer.imaging.views import Views
from greengrocer.networks.backbone import Backbone
from greengrocer.networks.recogniser import AnswerHead, Outputs, Recogniser
from greengrocer.networks.views import cut, see
from greengrocer.ranking import AnswerOptions
from greengrocer.training.data.reading import read_fitted
from greengrocer.training.learning.curve import HeldOut
from greengrocer.training.recipe import Augmentation, Export, Recipe
from greengrocer.training.release.attempt import Backbone as Rung
from greengrocer.training.release.export import answer_graph, backbone_graph
from greengrocer.training.release.finish import Exported
from greengrocer.training.release.measure import cut_views
from greengrocer.training.release.quantise import quantise
from greengrocer.training.release.space_to_depth import space_to_depth_stem
from support.graphs import optimised
from support.make_images import encoded, photo
from support.networks import COARSE_OF, pictures, prototypes, square
from support.servers import StartServer
from support.tints import TINTS, teach_green, tinted, train_tints

pytestmark = pytest.mark.leg("training")

TEMPERATURE = 0.7
TWO = Views.of_shares((1.0, 2 / 3), 64)
THREE = Views.of_shares((0.9, 0.7, 0.5), 50)
MIDDLE = Views.of_shares((0.8,), 64)
PIXELS = pictures(3, square(TWO.input_side))
CONVOLUTIONS = 49  # of EfficientNet-Lite0

RECIPE = Recipe(
    name="tints",
    backbone="efficientnet-lite0",
    augmentation=Augmentation(image_size=32),
    export=Export(image_size=64, views=(1.0, 0.6667), calibration_images=24),
)


def planes(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


def head_of(network: Recogniser, views: Views | None) -> AnswerHead:
    return AnswerHead(network.head, prototypes(), TEMPERATURE, COARSE_OF, views)


def graph_of(backbone: onnx.ModelProto, network: Recogniser, views: Views) -> onnx.ModelProto:
    whole = with_views(backbone, views)
    return answer_graph(whole, head_of(network, views), square(views.input_side))


def run(graph: onnx.ModelProto, pixels: np.ndarray) -> dict[str, np.ndarray]:
    session = ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"pixels": pixels}), strict=True))


@pytest.fixture(scope="module")
def in_float(network: Recogniser) -> onnx.ModelProto:
    return backbone_graph(network.backbone, square(TWO.size))


@pytest.fixture(scope="module")
def in_int8(in_float: onnx.ModelProto) -> onnx.ModelProto:
    return quantise(in_float, list(cut_views(pictures(8, square(TWO.input_side)), TWO)))


@pytest.mark.parametrize("views", [TWO, THREE, MIDDLE], ids=str)
def test_the_graph_and_pytorch_cut_the_same_views(views: Views) -> None:
    noise = np.random.default_rng(2).integers(0, 256, (2, *2 * [views.input_side], 3), np.uint8)
    found = np.stack(list(cut_views(noise, views)))
    expected = cut(planes(noise), views).permute(0, 2, 3, 1).numpy()
    assert found.shape == (2 * len(views.sides), views.size, views.size, 3)
    differ = np.abs(found.astype(int) - expected)
    assert differ.max() <= (0 if views is TWO else 1), "a tie may fall to either side"
    assert differ.mean() < 1e-3
    first = views.margin(views.size)
    inner = noise[:, first : first + views.size, first : first + views.size]
    np.testing.assert_array_equal(found[len(views.sides) - 1 :: len(views.sides)], inner)


@pytest.mark.accept
@pytest.mark.parametrize("views", [TWO, THREE, MIDDLE], ids=str)
def test_onnx_and_torch_agree(network: Recogniser, views: Views) -> None:
    pixels = pictures(3, square(views.input_side))
    with torch.inference_mode():
        seen = see(network.backbone, planes(pixels), views, network.head)
        expected: Outputs = head_of(network, views)(*seen)
    backbone = backbone_graph(network.backbone, square(views.size))
    for name, found in run(graph_of(backbone, network, views), pixels).items():
        wanted = getattr(expected, name).numpy()
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-3, err_msg=name)


@torch.inference_mode()
def test_the_mean_of_the_evidence_is_the_logit_of_the_mean_features(
    network: Recogniser, in_float: onnx.ModelProto
) -> None:
    found = run(graph_of(in_float, network, TWO), PIXELS)
    views = [planes(np.stack(list(cut_views(PIXELS, TWO)))[number::2]) for number in range(2)]
    features = [network.backbone(network.backbone.normalise(v)).mean(dim=(2, 3)) for v in views]
    assert (features[0] - features[1]).abs().max() > 0.1, "the views must not look the same"
    logits = network.head(torch.stack(features).mean(dim=0)) / TEMPERATURE
    np.testing.assert_allclose(found["evidence"].mean(axis=(1, 2)), logits, rtol=0, atol=1e-4)
    np.testing.assert_allclose(found["probabilities"], logits.softmax(dim=1), rtol=0, atol=1e-5)


def test_what_only_the_whole_frame_shows_gives_no_evidence_to_the_middle_view(
    network: Recogniser, in_float: onnx.ModelProto
) -> None:
    changed = PIXELS.copy()
    changed[:, : TWO.margin(64)] = 255 - changed[:, : TWO.margin(64)]
    graph = graph_of(in_float, network, TWO)
    both = [list(cut_views(pixels, TWO)) for pixels in (PIXELS, changed)]
    np.testing.assert_array_equal(both[0][1::2], both[1][1::2])
    top, middle = (run(graph, pixels)["evidence"] for pixels in (PIXELS, changed))
    whole = np.abs(top - middle).mean(axis=(0, 3))
    assert whole[0].mean() > whole[-1].mean(), "the change lies at the top"


def test_one_view_is_the_graph_without_views(network: Recogniser, in_int8: onnx.ModelProto) -> None:
    recipe = Recipe(name="one", backbone="efficientnet-lite0", export=Export(image_size=64))
    views = recipe.export.seen()
    exported = Exported(Rung(in_int8, "int8", 8), network.head, prototypes(), views)
    plain = AnswerHead(network.head, prototypes(), TEMPERATURE, COARSE_OF)
    expected = answer_graph(space_to_depth_stem(from_pixels(in_int8)), plain, square(64))
    found = exported.graph(TEMPERATURE, COARSE_OF)
    assert found.SerializeToString() == expected.SerializeToString()


def test_int8_reads_all_views_with_one_folded_stem(
    network: Recogniser, in_int8: onnx.ModelProto, tmp_path: Path
) -> None:
    graph = graph_of(in_int8, network, TWO)
    assert space_to_depth_stem(graph).SerializeToString() == graph.SerializeToString()
    folded = graph_of(space_to_depth_stem(from_pixels(in_int8)), network, TWO)
    assert folded.SerializeToString() != graph.SerializeToString()
    for expected, found in zip(
        run(graph, PIXELS).values(), run(folded, PIXELS).values(), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
    nodes = optimised(folded, tmp_path).node
    count = Counter(node.op_type for node in nodes)
    assert (count["QLinearConv"], count["Conv"], count["Resize"]) == (CONVOLUTIONS, 0, 1)
    stem = next(place for place, node in enumerate(nodes) if node.op_type == "QLinearConv")
    assert [node.op_type for node in nodes[stem - 2 : stem]] == ["Reshape", "Reshape"]


def test_a_graph_is_taken_apart_and_put_together_again(
    network: Recogniser, in_int8: onnx.ModelProto
) -> None:
    graph = graph_of(space_to_depth_stem(from_pixels(in_int8)), network, TWO)
    backbone, head = take_apart(graph)
    shape = [side.dim_value for side in backbone.graph.output[0].type.tensor_type.shape.dim]
    assert shape[1:] == [1280, 4, 2], "two maps of two rows, in a column"
    assert head.places is not None
    np.testing.assert_array_equal(head.places, TWO.places(2))


@pytest.mark.parametrize(
    "places",
    [
        TWO.places(2) * 2,
        -TWO.places(2),
        TWO.places(2) * np.float32("nan"),
        TWO.places(2)[:, :-1],
        TWO.places(2)[0],
        TWO.places(2)[:0],
        TWO.places(2).astype(np.float64),
    ],
    ids=["doubled", "negative", "nan", "a smaller grid", "one view", "no view", "doubles"],
)
def test_places_that_do_not_keep_the_mean_are_refused(
    network: Recogniser, in_int8: onnx.ModelProto, places: np.ndarray
) -> None:
    graph = graph_of(in_int8, network, TWO)
    constant = next(each for each in graph.graph.initializer if each.name == "view_rows")
    constant.CopyFrom(onnx.numpy_helper.from_array(places, "view_rows"))
    with pytest.raises(ValueError, match="does not lay the evidence"):
        take_apart(graph)


class Wide(Backbone):
    """Makes a map that is wider than high."""

    channels = 3

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(x, (32, 16))


def test_a_map_that_is_no_square_can_have_one_view_only() -> None:
    network = torch.nn.Linear(3, 6)
    backbone = with_views(backbone_graph(Wide(), square(64)), TWO)
    head = AnswerHead(network, prototypes(), 1.0, COARSE_OF, TWO)
    with pytest.raises(UsageError, match="a map of 2 by 4 positions of a square view"):
        answer_graph(backbone, head, square(TWO.input_side))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that distinguishes blue from red, by two views."""
    return train_tints(RECIPE, tmp_path_factory.mktemp("training"))


@pytest.mark.accept
def test_training_writes_a_bundle_of_two_views(bundle: Path) -> None:
    manifest = read_manifest(bundle)
    assert manifest.geometry == Geometry(width=96, height=96)
    assert manifest.network is not None
    assert manifest.network.views == (96, 64)
    assert "views 1 + 0.6667" in (bundle / CARD).read_text()
    assert manifest.provenance["quantisation"]["shipped"] == "int8"
    assert manifest.metrics["held_out_top1"] == manifest.metrics["held_out_top1_float"] == 100
    pipeline = build_pipeline(load_bundle(bundle))
    options = AnswerOptions(evidence=True, tensors=("probabilities", "evidence"))
    for tint in ("blue", "red"):
        answer = pipeline.classify(tinted(99, tint), Context(), options)
        assert answer.top[0].name == tint
        assert answer.evidence is not None
        assert answer.evidence.shape == (6, 6)
        logits = answer.tensors["evidence"].mean(axis=(0, 1), dtype=np.float64)
        odds = np.exp(logits - logits.max())
        np.testing.assert_allclose(odds / odds.sum(), answer.tensors["probabilities"], atol=1e-5)
    pipeline.close()


def test_both_engines_answer_alike(bundle: Path) -> None:
    manifest = read_manifest(bundle)
    before = torch.get_num_threads()
    engines = [kind(bundle, manifest, "cpu", ONE_THREAD) for kind in (OnnxEngine, TorchEngine)]
    try:
        for engine in engines:
            engine.start()
        onnx_found, torch_found = (engine.infer(PIXELS) for engine in engines)
    finally:
        torch.set_num_threads(before)
    assert onnx_found.evidence is not None
    assert torch_found.evidence is not None
    assert onnx_found.evidence.shape == torch_found.evidence.shape
    np.testing.assert_allclose(onnx_found.probabilities, torch_found.probabilities, atol=0.1)


def test_a_class_can_be_taught_on_top_of_two_views(bundle: Path, tmp_path: Path) -> None:
    pipeline = build_pipeline(load_bundle(teach_green(bundle, tmp_path)))
    for tint in TINTS:
        answer = pipeline.classify(tinted(99, tint), Context(), AnswerOptions(evidence=True))
        assert answer.top[0].name == tint
        assert answer.evidence is not None
        assert answer.evidence.shape == (6, 6)
    pipeline.close()
    trained, taught = (
        take_apart(onnx.load(path / GRAPH)) for path in (bundle, tmp_path / "taught")
    )
    np.testing.assert_array_equal(trained[1].places, taught[1].places)
    np.testing.assert_allclose(taught[1].weight[:, :2], trained[1].weight, rtol=1e-6)


def test_the_service_explains_by_two_views(bundle: Path, serve: StartServer) -> None:
    with serve("--bundle", str(bundle)).client() as client:
        found = client.post("/explain", files={"file": tinted(99, "red")})
        answer = client.post("/predict?explain=true", files={"file": tinted(99, "red")}).json()
    assert (found.status_code, found.headers["x-class"]) == (200, "red")
    assert answer["evidence"]["shape"] == [6, 6]


def test_held_out_images_are_answered_by_all_views(network: Recogniser, tmp_path: Path) -> None:
    images = [LabelledImage(tmp_path / f"{seed}.jpg", 0) for seed in range(12)]
    for seed, image in enumerate(images):
        image.path.write_bytes(encoded(photo(seed), "JPEG", quality=90))
    backbone = backbone_graph(network.backbone, square(TWO.size))
    pixels = np.stack([read_fitted(image.path, square(TWO.input_side)) for image in images])
    answers = run(graph_of(backbone, network, TWO), pixels)["probabilities"].argmax(axis=1)
    named = [dataclasses.replace(i, label=int(a)) for i, a in zip(images, answers, strict=True)]
    assert HeldOut(named, RECIPE.export, seed=1).right(network, "cpu") == len(images)


@pytest.mark.parametrize(
    ("views", "why"),
    [
        ([], "1 to 4 views, not 0"),
        ([96, 64, 62, 60, 58], "1 to 4 views, not 5"),
        ([96, 96], "two views are the same"),
        ([98, 64], "a view of 98 pixels does not suit an input of 96"),
        ([96, 0], "a view of 0 pixels does not suit"),
        ([96, -64], "a view of -64 pixels does not suit"),
        ([96, 63], "a view of 63 pixels has no middle"),
        ([96, 64.5], "valid integer"),
    ],
)
def test_hostile_views_in_a_manifest_are_refused(
    bundle: Path, tmp_path: Path, views: list[float], why: str
) -> None:
    fields = json.loads((bundle / MANIFEST).read_text())
    fields["network"]["views"] = views
    (tmp_path / MANIFEST).write_text(json.dumps(fields))
    with pytest.raises(BundleRefused, match=why):
        read_manifest(tmp_path)


def test_views_of_an_input_that_is_no_square_are_refused(bundle: Path, tmp_path: Path) -> None:
    fields = json.loads((bundle / MANIFEST).read_text())
    fields["geometry"]["height"] = 128
    (tmp_path / MANIFEST).write_text(json.dumps(fields))
    with pytest.raises(BundleRefused, match=r"network\.views need a square input"):
        read_manifest(tmp_path)


def test_a_manifest_without_views_does_not_speak_of_them() -> None:
    network = Network(architecture="efficientnet-lite0", temperature=1)
    assert network.model_dump(mode="json").keys() == {"architecture", "temperature"}
