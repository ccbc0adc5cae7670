from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from safetensors.numpy import load_file
from torch import nn

from greengrocer.bundles.manifest import WEIGHTS, read_manifest
from greengrocer.datasets.dataset import read_split
from greengrocer.engines.engine import Inference, Threads
from greengrocer.engines.torch_engine import TorchEngine
from greengrocer.imaging.geometry import Geometry, Pixels
from greengrocer.imaging.views import Views
from greengrocer.networks.backbone import Backbone, normalise
from greengrocer.networks.efficientnet_lite import SHORT
from greengrocer.networks.recogniser import AnswerHead, Recogniser
from greengrocer.networks.weights import load_float16, split_prototypes
from greengrocer.training.data.reading import read_fitted
from greengrocer.training.release.export import answer_graph, backbone_graph, seeing_graph
from support.networks import COARSE_OF, pictures, prototypes, square, untrained

pytestmark = pytest.mark.leg("training")

TEMPERATURE = 0.7
TOLERANCE = 1e-3
OPERATORS = {
    "Add",
    "Cast",
    "Clip",
    "Conv",
    "DequantizeLinear",
    "Div",
    "MatMul",
    "Max",
    "Mul",
    "Pow",
    "ReduceL2",
    "ReduceMax",
    "ReduceMean",
    "Softmax",
    "Sub",
    "Transpose",
}


def exported(network: Recogniser, geometry: Geometry, hierarchy: bool = True) -> onnx.ModelProto:
    known = prototypes(channels=network.backbone.channels)
    head = AnswerHead(network.head, known, TEMPERATURE, COARSE_OF if hierarchy else None)
    return answer_graph(backbone_graph(network.backbone, geometry), head, geometry)


def run(graph: onnx.ModelProto, pixels: Pixels) -> Inference:
    session = ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return Inference(**dict(zip(names, session.run(None, {"pixels": pixels}), strict=True)))


@torch.inference_mode()
def torch_logits(network: Recogniser, pixels: Pixels) -> np.ndarray:
    logits = network(normalise(torch.tensor(pixels).permute(0, 3, 1, 2)))
    return np.asarray(logits / TEMPERATURE)


@torch.inference_mode()
def torch_answers(network: Recogniser, pixels: Pixels) -> Inference:
    known = prototypes(channels=network.backbone.channels)
    head = AnswerHead(network.head, known, TEMPERATURE, COARSE_OF)
    found = head(network.backbone(normalise(torch.tensor(pixels).permute(0, 3, 1, 2))))
    return Inference(**{name: value.numpy() for name, value in found._asdict().items()})


def assert_alike(found: Inference, expected: Inference) -> None:
    for name, value in expected._asdict().items():
        np.testing.assert_allclose(
            getattr(found, name), value, rtol=0, atol=TOLERANCE, err_msg=name
        )


@pytest.mark.parametrize(
    "geometry",
    [square(64), square(224), square(260), Geometry(width=65, height=97)],
    ids=lambda geometry: f"{geometry.width}x{geometry.height}",
)
def test_onnx_and_torch_agree_at_any_size(network: Recogniser, geometry: Geometry) -> None:
    pixels = pictures(2, geometry)
    expected = torch_answers(network, pixels)
    assert expected.evidence is not None
    assert expected.evidence.std() > 0.1, "the images must not all be the same to the network"
    assert_alike(run(exported(network, geometry), pixels), expected)


@pytest.mark.parametrize("variant", [SHORT, "efficientnet-lite1", "efficientnet-lite2"])
def test_onnx_and_torch_agree_for_other_variants(variant: str) -> None:
    network, pixels = untrained(variant), pictures(1, square(64))
    assert_alike(run(exported(network, square(64)), pixels), torch_answers(network, pixels))


@pytest.mark.accept
def test_onnx_and_torch_agree_on_every_validation_image(
    dataset: Path, shipped_bundle: Path
) -> None:
    weights = shipped_bundle / WEIGHTS
    if not weights.is_file():
        pytest.skip(f"the shipped bundle has no {WEIGHTS}")
    manifest = read_manifest(shipped_bundle)
    assert manifest.network is not None
    network = Recogniser(manifest.network.architecture, len(manifest.classes)).eval()
    halves, known = split_prototypes(load_file(weights))
    load_float16(network, halves)
    views = manifest.views or Views.whole(manifest.geometry.width)
    temperature = manifest.network.temperature
    head = AnswerHead(network.head, known, temperature, manifest.coarse_of, views)
    of_a_view = backbone_graph(network.backbone, square(views.size))
    graph = answer_graph(seeing_graph(of_a_view, views, network.head), head, manifest.geometry)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1  # two libraries take turns: their threads must not spin
    session = ort.InferenceSession(
        graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    engine = TorchEngine(shipped_bundle, manifest, "cpu", Threads(torch.get_num_threads()))
    engine.start()
    names = list(Inference._fields)
    paths = [picture.path for picture in read_split(dataset, "val").pictures]
    for start in range(0, len(paths), 8):
        chunk = paths[start : start + 8]
        pixels = np.stack([read_fitted(path, manifest.geometry) for path in chunk])
        found = Inference(*session.run(names, {"pixels": pixels}))
        assert_alike(found, engine.infer(pixels))


def test_the_graph_takes_any_number_of_images(network: Recogniser) -> None:
    graph, pixels = exported(network, square(64)), pictures(3, square(64))
    together = run(graph, pixels)
    assert together.probabilities.shape == (3, 6)
    assert together.evidence is not None
    for index in range(3):
        alone = run(graph, pixels[index : index + 1])
        assert alone.evidence is not None
        np.testing.assert_allclose(alone.evidence[0], together.evidence[index], rtol=0, atol=1e-4)


def test_the_outputs_keep_their_contract(network: Recogniser) -> None:
    found = {
        output.name: [
            side.dim_param or side.dim_value for side in output.type.tensor_type.shape.dim
        ]
        for output in exported(network, square(260)).graph.output
    }
    assert found == {
        "probabilities": ["N", 6],
        "coarse": ["N", 3],
        "known_score": ["N"],
        "evidence": ["N", 9, 9, 6],
    }
    assert list(found) == ["probabilities", "coarse", "known_score", "evidence"]


def test_without_a_hierarchy_there_is_no_coarse_output(network: Recogniser) -> None:
    graph = exported(network, square(64), hierarchy=False)
    assert [o.name for o in graph.graph.output] == ["probabilities", "known_score", "evidence"]


def test_the_mean_of_the_evidence_is_the_calibrated_logit(network: Recogniser) -> None:
    pixels = pictures(3, square(64))
    found = run(exported(network, square(64)), pixels)
    assert found.evidence is not None
    logits = found.evidence.mean((1, 2))
    np.testing.assert_allclose(logits, torch_logits(network, pixels), rtol=0, atol=TOLERANCE)
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(
        found.probabilities, exponents / exponents.sum(axis=1, keepdims=True), atol=1e-6
    )


def test_coarse_probabilities_are_sums_of_the_fine_ones(
    network: Recogniser,
) -> None:
    found = run(exported(network, square(64)), pictures(3, square(64)))
    assert found.coarse is not None
    for coarse in range(3):
        members = [fine for fine, parent in enumerate(COARSE_OF) if parent == coarse]
        summed = found.probabilities[:, members].sum(axis=1)
        np.testing.assert_allclose(found.coarse[:, coarse], summed, atol=1e-6)


def test_batch_norms_and_paddings_are_folded(network: Recogniser) -> None:
    graph = exported(network, square(260)).graph
    assert {node.op_type for node in graph.node} == OPERATORS
    stem = next(node for node in graph.node if node.op_type == "Conv")
    pads = next(list(a.ints) for a in stem.attribute if a.name == "pads")
    assert pads == [0, 0, 1, 1]  # 260 wide, kernel 3, stride 2: one zero, after the last pixel


class Twins(Backbone):
    """Two layers whose constants are equal."""

    channels = 4

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(nn.Conv2d(inputs, 4, 1) for inputs in (3, 4, 4)))
        for weights in self.layers.parameters():
            nn.init.zeros_(weights)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.layers(x)
        return found


def test_layers_whose_constants_are_equal_have_each_their_own() -> None:
    backbone = Twins().eval()
    graph = backbone_graph(backbone, square(64)).graph
    constants = {each.name for each in graph.initializer}
    biases = [node.input[2] for node in graph.node if node.op_type == "Conv"]
    assert len(set(biases)) == 3
    assert constants.issuperset(biases)
