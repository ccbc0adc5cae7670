"""The textbook's questions about serving a model, asked of this one: what does each choice cost?"""

import time
from copy import deepcopy
from pathlib import Path
from statistics import median

import torch
from safetensors.numpy import load_file
from tqdm import tqdm

from benchmarks.bare import bare_process
from benchmarks.read_images import read_images
from greengrocer.assemble_pipeline import build_pipeline
from greengrocer.bundles.bundle import Bundle, find_bundle, load_bundle
from greengrocer.bundles.manifest import WEIGHTS
from greengrocer.context import Context
from greengrocer.imaging.decode import decode
from greengrocer.imaging.geometry import fit
from greengrocer.networks.backbone import normalise
from greengrocer.networks.recogniser import Recogniser
from greengrocer.networks.weights import load_float16, split_prototypes

PICTURES = 60  # for the questions to the network
MEGA = 1e6


def run(bundle: str, data: Path | None, rounds: int, seconds: float) -> str:
    """Measure, and return the table."""
    loaded = load_bundle(find_bundle(bundle))
    planes = _planes(loaded, data)
    network = _network(loaded)
    rows = [
        ("question", "measured"),
        ("---", "---"),
        _loading(loaded, rounds),
        _training_mode(network, planes),
        *_gradients(network, planes, rounds),
        *_threads(bundle, data, rounds, seconds),
    ]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


Row = tuple[str, str]


def _planes(bundle: Bundle, data: Path | None) -> list[torch.Tensor]:
    """Images as the network takes them, float32 [1, 3, H, W] each."""
    geometry = bundle.manifest.geometry
    fitted = [fit(decode(p, geometry.decoded_size), geometry) for p in read_images(data)[:PICTURES]]
    return [normalise(torch.tensor(pixels)[None].permute(0, 3, 1, 2)) for pixels in fitted]


def _network(bundle: Bundle) -> Recogniser:
    """The bundle's network in float32, in PyTorch."""
    described = bundle.manifest.network
    assert described is not None
    network = Recogniser(described.architecture, len(bundle.manifest.classes))
    load_float16(network, split_prototypes(load_file(bundle.directory / WEIGHTS))[0])
    return network.eval()


def _loading(bundle: Bundle, rounds: int) -> Row:
    taken, image = [], (bundle.directory / bundle.manifest.goldens[0].file).read_bytes()
    predicting = []
    for _ in range(rounds):
        started = time.perf_counter()
        pipeline = build_pipeline(bundle)
        loaded = time.perf_counter()
        pipeline.classify(image, Context())
        taken.append(loaded - started)
        predicting.append(time.perf_counter() - loaded)
        pipeline.close()
    times = median(a / b for a, b in zip(taken, predicting, strict=True))
    return (
        "the model loaded for every request",
        f"loading and warming it takes {times:.0f} times as long as an image",
    )


def _training_mode(network: Recogniser, planes: list[torch.Tensor]) -> Row:
    """In training mode a batch norm takes the image's own statistics for all images'."""
    with torch.inference_mode():
        right = [int(network(image).argmax()) for image in planes]
        training = deepcopy(network).train()  # a copy: its statistics change with each image
        labels = [int(training(image).argmax()) for image in planes]
    changed = sum(a != b for a, b in zip(right, labels, strict=True))
    return (
        "`model.eval()` forgotten",
        f"{changed} of {len(planes)} images are named otherwise",
    )


def _gradients(network: Recogniser, planes: list[torch.Tensor], rounds: int) -> list[Row]:
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.data_ptr()] = tensor.nbytes
        return tensor

    own = {parameter.data_ptr() for parameter in network.parameters()}
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        network(planes[0])
    held = sum(size for place, size in kept.items() if place not in own)
    ratios = []
    for _ in range(rounds):
        started = time.perf_counter()
        for image in planes:
            network(image)
        graph = time.perf_counter() - started
        with torch.inference_mode():
            started = time.perf_counter()
            for image in planes:
                network(image)
            ratios.append(graph / (time.perf_counter() - started))
    return [
        (
            "`torch.no_grad()` forgotten: memory",
            f"{held / MEGA:.0f} MB an image are kept for a backward pass that never comes",
        ),
        (
            "`torch.no_grad()` forgotten: time",
            f"{median(ratios):.2f} times that of `inference_mode`",
        ),
    ]


def _threads(bundle: str, data: Path | None, rounds: int, seconds: float) -> list[Row]:
    threads, processes = [], []
    with bare_process(bundle, data) as first, bare_process(bundle, data) as second:
        for _ in tqdm(range(rounds), "threads and processes"):
            one = first.run(seconds, 1).rate
            threads.append(first.run(seconds, 2).rate / one)
            first.begin(seconds, 1)
            second.begin(seconds, 1)
            processes.append((first.end().rate + second.end().rate) / one)
    return [
        ("two threads, one model", f"{median(threads):.2f} times the images of one thread"),
        (
            "two processes, a model each",
            f"{median(processes):.2f} times the images of one, and twice the memory",
        ),
    ]
