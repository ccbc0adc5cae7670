"""Accuracy against images a second a core: the bundles, and what a user would pick instead."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.figure import Figure
from tqdm import tqdm

from benchmarks.published import NETWORKS, SIDE, PublishedBackbone
from benchmarks.read_images import read_images
from greengrocer.assemble_pipeline import build_pipeline
from greengrocer.bundles.bundle import find_bundle, load_bundle
from greengrocer.bundles.facts import multiply_adds_of_a_view
from greengrocer.context import Context
from greengrocer.engines.onnx_runtime import ort
from greengrocer.imaging.decode import plan_decode
from greengrocer.imaging.geometry import Geometry, Pixels, fit
from greengrocer.networks.multiply_adds import multiply_adds
from greengrocer.training.release.export import backbone_graph
from greengrocer.training.release.quantise import quantise

BUNDLES = ("fast", "tiny", "grocery")
GEOMETRY = Geometry(width=SIDE, height=SIDE)
CALIBRATION = 32  # images that show the ranges of activations
PICTURE = "pareto.svg"
WARMUP_SECONDS = 1.0
INT8, FLOAT, EAGER = "ONNX Runtime, int8", "ONNX Runtime, float32", "PyTorch, float32"
COLOURS = {INT8: "#00795c", FLOAT: "#e69f00", EAGER: "#7a3e9d"}


@dataclass
class Contender:
    """A network in a runtime, on one thread: ``classify`` takes the bytes of an image."""

    name: str
    runtime: str
    giga_multiply_adds: float  # an image
    accuracy: float  # per cent
    judged: str  # what the accuracy is of
    classify: Callable[[bytes], object]
    rates: list[float] = field(default_factory=list)  # images a processor second, by round

    @property
    def ours(self) -> bool:
        """Whether it is a bundle that ships."""
        return self.name in BUNDLES

    def run(self, images: Sequence[bytes], seconds: float) -> float:
        """Images a second of processor time."""
        count, began, until = 0, time.process_time(), time.perf_counter() + seconds
        while time.perf_counter() < until:
            self.classify(images[count % len(images)])
            count += 1
        return count / (time.process_time() - began)


def run(bundle: str, data: Path | None, rounds: int, seconds: float, out: Path) -> str:
    """Measure, draw into the folder ``out``, and return the table."""
    del bundle
    images = read_images(data)
    torch.set_num_threads(1)
    contenders = [*_bundles(), *_published(images)]
    for each in tqdm(contenders, "warm"):
        each.run(images, WARMUP_SECONDS)
    for _ in tqdm(range(rounds), "rounds"):
        for each in contenders:
            each.rates.append(each.run(images, seconds))
    draw(contenders, out / PICTURE)
    return table(contenders)


def table(contenders: Sequence[Contender]) -> str:
    """Medians, and ratios to the first contender within a round, as a Markdown table."""
    first = contenders[0]
    head = ["network", "runtime", "G multiply-adds", "images/s a core"]
    head += [f"of `{first.name}` (rounds)", "accuracy", "of"]
    lines = ["| " + " | ".join(head) + " |", "|---|---|---:|---:|---:|---:|---|"]
    for each in contenders:
        ratios = [rate / of for rate, of in zip(each.rates, first.rates, strict=True)]
        name = f"`{each.name}`" if each.ours else each.name
        lines.append(
            f"| {name} | {each.runtime} | {each.giga_multiply_adds:.2f} "
            f"| {median(each.rates):.0f} | {median(ratios):.2f} ({min(ratios):.2f} to "
            f"{max(ratios):.2f}) | {each.accuracy:.1f} % | {each.judged} |"
        )
    return "\n".join([*lines, "", f"![The same as a plot]({PICTURE})"])


def draw(contenders: Sequence[Contender], out: Path) -> None:
    """Write the plot: what is above and to the right of all else is what to pick."""
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "pareto", "font.size": 9}):
        figure = Figure(figsize=(9, 4), layout="constrained")
        panels = figure.subplots(1, 2, sharex=True)
        titles = "bundles: held-out shops, fine top-1, %", "others: ImageNet top-1, as published, %"
        for axes, title, ours in zip(panels, titles, (True, False), strict=True):
            shown = [each for each in contenders if each.ours is ours]
            for runtime, colour in COLOURS.items():
                some = [each for each in shown if each.runtime == runtime]
                if some:
                    rates, accuracies = zip(*map(_place, some), strict=True)
                    axes.plot(rates, accuracies, "o", color=colour, label=runtime)
            for name in dict.fromkeys(each.name for each in shown):
                at = max(_place(each) for each in shown if each.name == name)  # its fastest
                axes.annotate(name, at, xytext=(0, 7), textcoords="offset points", ha="center")
            axes.set_title(title, fontsize=9, loc="left")
            axes.set_xlabel("images a second a core")
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter("{x:g}")
            axes.margins(x=0.15, y=0.15)
            axes.grid(alpha=0.3)
        panels[1].legend(fontsize=8)
        figure.savefig(out, metadata={"Date": None})


def _place(contender: Contender) -> tuple[float, float]:
    """Where it lies: images a second a core, and accuracy in per cent."""
    return median(contender.rates), contender.accuracy


def _bundles() -> Iterator[Contender]:
    for name in BUNDLES:
        bundle = load_bundle(find_bundle(name))
        pipeline, metrics = build_pipeline(bundle), bundle.manifest.metrics
        view = multiply_adds_of_a_view(bundle.manifest) or 0
        views = 1 + metrics.get("out_of_fold_looked_again", 0) / 100
        yield Contender(
            name,
            INT8,
            view * views / 1e9,
            metrics["out_of_fold_top1"],
            "held-out shops",
            lambda image, pipeline=pipeline: pipeline.classify(image, Context()),  # type: ignore[misc]
        )


def _published(images: Sequence[bytes]) -> Iterator[Contender]:
    shown = [_pixels(image) for image in images[:CALIBRATION]]
    for name, published in NETWORKS.items():
        network = PublishedBackbone(published).eval()
        cost = multiply_adds(network, SIDE) / 1e9
        graph = backbone_graph(network, GEOMETRY)
        judged = f"ImageNet, {published.source}"
        for runtime, classify in {
            INT8: _in_onnx(quantise(graph, shown).SerializeToString()),
            FLOAT: _in_onnx(graph.SerializeToString()),
            EAGER: _in_torch(network),
        }.items():
            yield Contender(name, runtime, cost, published.top1, judged, classify)


def _pixels(image: bytes) -> Pixels:
    return fit(plan_decode(image, GEOMETRY.decoded_size).decode(), GEOMETRY)


def _planes(image: bytes) -> Pixels:
    """uint8 [1, 3, 224, 224]."""
    return np.ascontiguousarray(_pixels(image).transpose(2, 0, 1)[None])


def _in_onnx(graph: bytes) -> Callable[[bytes], object]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda image: session.run(None, {name: _planes(image)})


def _in_torch(network: PublishedBackbone) -> Callable[[bytes], object]:
    @torch.inference_mode()
    def classify(image: bytes) -> object:
        return network(network.normalise(torch.from_numpy(_planes(image))))

    return classify
