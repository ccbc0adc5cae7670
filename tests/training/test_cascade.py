"""A cascade: the model looks at one view, and at the others only where that one leaves it in doubt.

The same in the graph and in PyTorch, for one image and for a batch.
"""

import dataclasses
import io
import json
import re
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from PIL import Image

from greengrocer.assemble_pipeline import build_pipeline
from greengrocer.bundles.bundle import load_bundle
from greengrocer.bundles.card import CARD
from greengrocer.bundles.manifest import MANIFEST, read_manifest
from greengrocer.context import Context
from greengrocer.datasets.dataset import LabelledImage
from greengrocer.engines.engine import ONE_THREAD
from greengrocer.engines.onnx_engine import OnnxEngine
from greengrocer.engines.torch_engine import TorchEngine
from greengrocer.errors import BundleRefused
from greengrocer.graphs import answers
from greengrocer.graphs.parts import take_apart
from greengrocer.graphs.views import AGAIN
from greengrocer.imaging.geometry import fit
from greengrocer.imaging.views import Views
from greengrocer.networks.recogniser import AnswerHead, Outputs, Recogniser
from greengrocer.networks.views import see
from greengrocer.ranking import AnswerOptions
from greengrocer.training.learning.curve import HeldOut
from greengrocer.training.recipe import Augmentation, Export, Recipe
from greengrocer.training.release.attempt import Backbone
from greengrocer.training.release.export import answer_graph, backbone_graph, seeing_graph
from greengrocer.training.release.finish import Exported, Exporter
from greengrocer.training.release.measure import cut_views
from greengrocer.training.release.quantise import quantise
from support.make_images import encoded, photo
from support.networks import COARSE_OF, pictures, prototypes, square
from support.servers import StartServer
from support.tints import TINTS, teach_green, tinted, train_tints

pytestmark = pytest.mark.leg("training")

TEMPERATURE = 0.7
TWO = Views.of_shares((2 / 3, 1.0), 64)  # without a cascade
THREE = Views.of_shares((0.7, 1.0, 0.5), 50)
COUNT = 8
ROUNDING = 1e-4  # a batch of another size is added up in another order

Answers = dict[str, np.ndarray]


def planes(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


@torch.inference_mode()
def by_torch(network: Recogniser, views: Views, pixels: np.ndarray) -> tuple[Answers, np.ndarray]:
    """The answers, and which images were in doubt."""
    head = AnswerHead(network.head, prototypes(), TEMPERATURE, COARSE_OF, views)
    seen = see(network.backbone, planes(pixels), views, network.head)
    outputs: Outputs = head(*seen)
    assert seen.in_doubt is not None
    found = {name: each.numpy() for name, each in outputs._asdict().items()}
    return found, seen.in_doubt.numpy()


def half_sure(network: Recogniser, views: Views) -> tuple[Views, np.ndarray]:
    """``views`` as a cascade that leaves half of COUNT images in doubt, and these images.

    The threshold lies in the widest gap of the middle, so that no rounding moves an image over it.
    """
    pixels = pictures(COUNT, square(views.input_side))
    with torch.inference_mode():
        first = see(network.backbone, planes(pixels), views, network.head).features
        first = first[:, :, : first.shape[2] // len(views.sides)]
        largest = network.classify(first).softmax(dim=1).amax(dim=1).sort().values.numpy()
    gaps = np.diff(largest[COUNT // 4 : -COUNT // 4])
    place = COUNT // 4 + int(gaps.argmax())
    assert gaps.max() > 5e-3
    return views._replace(cascade=float(largest[place : place + 2].mean())), pixels


def graph_of(network: Recogniser, views: Views) -> onnx.ModelProto:
    backbone = backbone_graph(network.backbone, square(views.size))
    head = AnswerHead(network.head, prototypes(), TEMPERATURE, COARSE_OF, views)
    whole = seeing_graph(backbone, views, network.head)
    return answer_graph(whole, head, square(views.input_side))


def run(graph: onnx.ModelProto, pixels: np.ndarray) -> Answers:
    session = ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"pixels": pixels}), strict=True))


@pytest.mark.parametrize("views", [TWO, THREE], ids=str)
def test_onnx_and_torch_agree(network: Recogniser, views: Views) -> None:
    cascade, pixels = half_sure(network, views)
    expected, in_doubt = by_torch(network, cascade, pixels)
    assert 0 < in_doubt.sum() < COUNT
    graph = graph_of(network, cascade)
    found = run(graph, pixels)
    assert found.keys() == expected.keys()
    for name, each in found.items():
        np.testing.assert_allclose(each, expected[name], rtol=0, atol=1e-3, err_msg=name)


@pytest.mark.parametrize("views", [TWO, THREE], ids=str)
def test_a_sure_image_is_answered_by_the_first_view_and_any_other_by_all(
    network: Recogniser, views: Views
) -> None:
    cascade, pixels = half_sure(network, views)
    _, in_doubt = by_torch(network, cascade, pixels)
    found, by_all = (run(graph_of(network, each), pixels) for each in (cascade, views))
    for name, each in found.items():
        np.testing.assert_allclose(each[in_doubt], by_all[name][in_doubt], atol=ROUNDING)
    firsts = list(cut_views(pixels, views))[:: len(views.sides)]
    by_first = run(graph_of(network, Views.whole(views.size)), np.stack(firsts))
    for name in ("probabilities", "coarse", "known_score"):
        assert np.abs(by_first[name] - by_all[name]).max() > 1e-3, "the views differ"
        np.testing.assert_allclose(found[name][~in_doubt], by_first[name][~in_doubt], atol=ROUNDING)
    evidence = found["evidence"]
    logits = by_first["evidence"].mean(axis=(1, 2))
    np.testing.assert_allclose(
        evidence.mean(axis=(1, 2))[~in_doubt], logits[~in_doubt], atol=ROUNDING
    )
    margin = views.margin(views.sides[0]) * evidence.shape[1] // views.input_side
    bias = network.head.bias.detach().numpy() / TEMPERATURE
    assert margin > 0
    outside = evidence[:, :margin]
    np.testing.assert_allclose(
        outside[~in_doubt], np.broadcast_to(bias, outside[~in_doubt].shape), atol=ROUNDING
    )
    assert np.abs(outside[in_doubt] - bias).max() > 0.1, "all of it was looked at"


def test_an_answer_does_not_depend_on_the_rest_of_the_batch(network: Recogniser) -> None:
    cascade, pixels = half_sure(network, TWO)
    graph = graph_of(network, cascade)
    together = run(graph, pixels)
    for number in range(COUNT):
        for name, each in run(graph, pixels[number : number + 1]).items():
            np.testing.assert_allclose(each[0], together[name][number], rtol=0, atol=ROUNDING)


def test_int8_in_the_branch_has_the_weights_of_the_graph_around_it(network: Recogniser) -> None:
    cascade, pixels = half_sure(network, TWO)
    shown = list(cut_views(pixels, TWO))
    backbone = Backbone(
        quantise(backbone_graph(network.backbone, square(TWO.size)), shown), "int8", len(shown)
    )
    plain, graph = (
        Exported(backbone, network.head, prototypes(), views).graph(TEMPERATURE, COARSE_OF)
        for views in (TWO, cascade)
    )
    branches = [each.g for node in graph.graph.node for each in node.attribute if each.g.node]
    branches.sort(key=lambda branch: len(branch.node), reverse=True)
    assert len(branches) == 2
    assert not any(branch.initializer for branch in branches)
    convolutions = [node for node in branches[0].node if node.op_type == "Conv"]
    assert len(convolutions) == sum(node.op_type == "Conv" for node in plain.graph.node)
    head_and_nodes = 2 * network.head.weight.numel() + 200_000
    assert len(graph.SerializeToString()) < len(plain.SerializeToString()) + head_and_nodes
    stems = [node for node in graph.graph.node if node.name == "stem"]
    stems += [node for node in convolutions if node.name == f"{AGAIN}stem"]
    first, again = ([each.s or each.ints for each in stem.attribute] for stem in stems)
    assert first == again, "both read the pixels by fours"
    found, by_all = run(graph, pixels), run(plain, pixels)
    alike = np.abs(found["probabilities"] - by_all["probabilities"]).max(axis=1) < 1e-5
    assert 0 < alike.sum() < COUNT


def test_a_cascade_is_taken_apart_and_put_together_again(network: Recogniser) -> None:
    cascade, pixels = half_sure(network, TWO)
    graph = graph_of(network, cascade)
    backbone, head = take_apart(graph)
    assert head.places is not None
    lifted = np.asarray(head.bias + np.arange(6), np.float32)
    changed = head._replace(bias=lifted)
    again = answers.answer_graph(backbone, changed, square(TWO.input_side))
    found, expected = run(again, pixels), run(graph, pixels)
    logits, before = (each["evidence"].mean(axis=(1, 2)) for each in (found, expected))
    expected_logits = before + np.arange(6) / TEMPERATURE  # of the same views as before
    np.testing.assert_allclose(logits, expected_logits, atol=ROUNDING)


def test_the_features_are_those_that_serve(network: Recogniser, tmp_path: Path) -> None:
    cascade, _ = half_sure(network, TWO)
    images = [LabelledImage(tmp_path / f"{seed}.jpg", seed % 6) for seed in range(COUNT)]
    for seed, image in enumerate(images):
        image.path.write_bytes(encoded(photo(seed), "JPEG", quality=95))
    export = Export(image_size=64, views=(2 / 3, 1.0), cascade=cascade.cascade)
    assert export.seen() == cascade
    exporter = Exporter(
        network, images, Recipe(name="a", backbone="efficientnet-lite0", export=export)
    )
    exported = exporter.finish(Backbone(exporter.in_float, "float32", 0))
    raw = exporter.answer(exported, images)
    assert raw.looked_again is not None
    assert 0 < raw.looked_again.sum() < COUNT
    np.testing.assert_allclose(raw.in_int8, raw.in_float, rtol=0, atol=1e-3)
    held_out = [
        dataclasses.replace(image, label=int(label))
        for image, label in zip(images, raw.in_int8.argmax(axis=1), strict=True)
    ]
    assert HeldOut(held_out, export, seed=1).right(network, "cpu") == COUNT


RECIPE = Recipe(
    name="tints",
    backbone="efficientnet-lite0",
    augmentation=Augmentation(image_size=32),
    export=Export(image_size=64, views=(0.6667, 1.0), cascade=0.9, calibration_images=24),
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cascade that distinguishes blue from red."""
    return train_tints(RECIPE, tmp_path_factory.mktemp("training"))


@pytest.mark.accept
def test_training_writes_a_cascade(bundle: Path) -> None:
    manifest = read_manifest(bundle)
    assert manifest.network is not None
    assert (manifest.network.views, manifest.network.cascade) == ((64, 96), 0.9)
    assert manifest.views == RECIPE.export.seen()
    assert 0 <= manifest.metrics["held_out_looked_again"] <= 100
    text = " ".join((bundle / CARD).read_text().split())
    assert "looks at its middle 67 % first" in text
    assert "| looked at by all views |" in text
    assert re.search(r"that takes 0\.0[1-9] G multiply-adds instead of 0\.0[1-9] G", text)


def test_both_engines_answer_a_batch_alike(bundle: Path) -> None:
    manifest = read_manifest(bundle)
    images = [tinted(seed, tint) for seed in range(40, 44) for tint in TINTS]
    pixels = np.stack([fit(Image.open(io.BytesIO(image)), manifest.geometry) for image in images])
    before = torch.get_num_threads()
    engines = [kind(bundle, manifest, "cpu", ONE_THREAD) for kind in (OnnxEngine, TorchEngine)]
    try:
        for engine in engines:
            engine.start()
        onnx_found, torch_found = (engine.infer(pixels) for engine in engines)
    finally:
        torch.set_num_threads(before)
    found, expected = onnx_found.probabilities, torch_found.probabilities
    np.testing.assert_allclose(found, expected, atol=0.1)
    assert onnx_found.evidence is not None
    edges = np.ptp(onnx_found.evidence[:, 0], axis=1).max(axis=1)
    assert 0 < (edges > 0).sum() < len(images), "some are looked at again"


def test_the_service_explains_and_answers_forms_of_many(bundle: Path, serve: StartServer) -> None:
    images = [tinted(99, tint) for tint in TINTS]
    with serve("--bundle", str(bundle)).client() as client:
        alone = [client.post("/predict", files={"file": image}).json() for image in images]
        form = [("file", (f"{k}.jpg", image)) for k, image in enumerate(images)]
        lines = client.post("/predict/batch", files=form).text.splitlines()
        explained = [client.post("/explain", files={"file": image}) for image in images]
    assert [answer["prediction"] for answer in alone[:2]] == ["blue", "red"]
    for answer, line in zip(alone, lines, strict=True):
        assert json.loads(line)["confidence"] == pytest.approx(answer["confidence"], abs=1e-5)
    assert [each.status_code for each in explained] == [200] * len(images)


def test_a_class_can_be_taught_on_top_of_a_cascade(bundle: Path, tmp_path: Path) -> None:
    pipeline = build_pipeline(load_bundle(teach_green(bundle, tmp_path)))
    for tint in TINTS:
        answer = pipeline.classify(tinted(99, tint), Context(), AnswerOptions(evidence=True))
        assert answer.top[0].name == tint
    pipeline.close()


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"cascade": 1.0}, "must be between 0 and 1, not 1.0"),
        ({"cascade": 0}, "must be between 0 and 1, not 0.0"),
        ({"cascade": "sure"}, "valid number"),
        ({"views": [64]}, "a cascade needs 2 views or more"),
        ({"views": None}, r"network\.cascade needs network\.views"),
    ],
)
def test_a_hostile_cascade_in_a_manifest_is_refused(
    bundle: Path, tmp_path: Path, fields: dict[str, object], why: str
) -> None:
    manifest = json.loads((bundle / MANIFEST).read_text())
    manifest["network"] |= fields
    (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(BundleRefused, match=why):
        read_manifest(tmp_path)
