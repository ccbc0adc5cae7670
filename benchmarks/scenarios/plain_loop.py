"""The bare pipeline against the plain loop: what do scaled decoding, threads and uint8 gain?"""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from tqdm import tqdm

from benchmarks.bare import Bare, bare_process, loop_process
from benchmarks.float_graph import float_graph
from benchmarks.photos import write_sizes
from benchmarks.read_images import read_images
from greengrocer.bundles.bundle import find_bundle
from greengrocer.bundles.manifest import read_manifest

WARMUP_SECONDS = 1.0
SIZES = ("data-set images", "12-megapixel photos")


@dataclass
class Results:
    """All rounds, by the size of the images."""

    bare: dict[str, list[Bare]] = field(default_factory=lambda: {size: [] for size in SIZES})
    plain: dict[str, list[Bare]] = field(default_factory=lambda: {size: [] for size in SIZES})


def run(bundle: str, data: Path | None, rounds: int, seconds: float) -> str:
    """Measure, and return the table."""
    return table(measure(bundle, data, rounds, seconds))


def measure(bundle: str, data: Path | None, rounds: int, seconds: float) -> Results:
    """Run both loops on both sizes in turn, ``rounds`` times."""
    results = Results()
    with tempfile.TemporaryDirectory() as home:
        folders = write_sizes(Path(home), read_images(data))
        directory = find_bundle(bundle)
        graph = str(float_graph(directory, Path(home) / "float.onnx"))
        share = str(read_manifest(directory).geometry.share)
        for size, folder in zip(SIZES, folders, strict=True):
            with (
                bare_process(bundle, folder) as bare,
                loop_process("benchmarks.plain", graph, share, str(folder)) as plain,
            ):
                bare.run(WARMUP_SECONDS, 2)
                plain.run(WARMUP_SECONDS, 1)
                for _ in tqdm(range(rounds), size):
                    results.bare[size].append(bare.run(seconds, 2))
                    results.plain[size].append(plain.run(seconds, 1))
    return results


def table(results: Results) -> str:
    """The medians and ratios as a Markdown table."""
    lines = ["| | plain loop, images/s | bare pipeline | ratio |", "|---|---:|---:|---:|"]
    for size in SIZES:
        rounds = list(zip(results.bare[size], results.plain[size], strict=True))
        ratio = median(bare.rate / plain.rate for bare, plain in rounds)
        lines.append(
            f"| {size} | {median(plain.rate for _, plain in rounds):.0f} "
            f"| {median(bare.rate for bare, _ in rounds):.0f} | {ratio:.2f} |"
        )
    return "\n".join(lines)
