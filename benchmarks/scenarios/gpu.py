"""Both engines on a GPU: alone by the size of a batch, and behind the service by its clients.

An engine that does not start there, as without a GPU, has the reason instead of figures.
"""

import os
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import NamedTuple

import httpx
import numpy as np
from prometheus_client.parser import text_string_to_metric_families
from tqdm import tqdm

from benchmarks.load import picture_request, run_load
from benchmarks.processes import service
from benchmarks.read_images import read_images
from greengrocer.bundles.bundle import find_bundle, load_bundle
from greengrocer.engines.engine import ONE_THREAD, Engine
from greengrocer.engines.registry import make_engine
from greengrocer.errors import UsageError
from greengrocer.imaging.decode import decode
from greengrocer.imaging.geometry import Pixels, fit

ENGINES = ("onnx", "torch")
DEVICE = "cuda"
BATCHES = (1, 2, 4, 8, 16, 32, 64)
CLIENTS = (1, 8, 32, 128)
WARMUP_SECONDS = 3.0


class Run(NamedTuple):
    """Images a second; latencies of a batch or a request in seconds; two shares of a service."""

    rate: float
    latencies: list[float]
    images_a_batch: float = 0.0
    decoding: float = 0.0  # of the time of all processors


Found = dict[int, list[Run]]  # by the size of a batch, or by the number of clients


def run(bundle: str, data: Path | None, rounds: int, seconds: float) -> str:
    """Measure, and return the tables."""
    images = read_images(data)
    pixels = _pixels(bundle, images)
    parts = []
    for name in ENGINES:
        try:
            alone = _alone(name, bundle, pixels, rounds, seconds)
        except UsageError as error:
            parts.append(f"## `{name}`\n\nNot measured: {error}.")
            continue
        served = _served(name, bundle, images, rounds, seconds)
        parts.append(f"## `{name}`\n\n{_table_alone(alone)}\n\n{_table_served(served)}")
    return "\n\n".join(parts)


def _pixels(bundle: str, images: list[bytes]) -> Pixels:
    """As many images as the largest batch has, as the network takes them."""
    geometry = load_bundle(find_bundle(bundle)).manifest.geometry
    some = (images * max(BATCHES))[: max(BATCHES)]
    return np.stack([fit(decode(image, geometry.decoded_size), geometry) for image in some])


def _alone(name: str, bundle: str, pixels: Pixels, rounds: int, seconds: float) -> Found:
    """The engine in this process, without a service. Raises UsageError where it does not start."""
    loaded = load_bundle(find_bundle(bundle))
    engine = make_engine(name, loaded.directory, loaded.manifest, DEVICE, ONE_THREAD)
    engine.start()
    for size in BATCHES:
        engine.infer(pixels[:size])  # the first of a size is slower
    found: Found = {size: [] for size in BATCHES}
    for _ in tqdm(range(rounds), f"{name}, batches"):
        for size, runs in found.items():
            runs.append(_batches(engine, pixels[:size], seconds))
    engine.close()
    return found


def _batches(engine: Engine, pixels: Pixels, seconds: float) -> Run:
    taken = []
    end = time.perf_counter() + seconds
    while (started := time.perf_counter()) < end:
        engine.infer(pixels)
        taken.append(time.perf_counter() - started)
    return Run(len(taken) * len(pixels) / sum(taken), taken)


def _served(name: str, bundle: str, images: list[bytes], rounds: int, seconds: float) -> Found:
    requests = [picture_request(image) for image in images]
    found: Found = {clients: [] for clients in CLIENTS}
    with ExitStack() as stack:
        flags = ("--bundle", bundle, "--engine", name, "--device", DEVICE)
        port = stack.enter_context(service(*flags)).port
        run_load(port, requests, max(CLIENTS), WARMUP_SECONDS)
        for _ in tqdm(range(rounds), f"{name}, clients"):
            for clients, runs in found.items():
                runs.append(_requests(port, requests, clients, seconds))
    return found


def _requests(port: int, requests: list[bytes], clients: int, seconds: float) -> Run:
    before = _counts(port)
    load = run_load(port, requests, clients, seconds)
    batches, images, decoding = (
        now - then for now, then in zip(_counts(port), before, strict=True)
    )
    processors = len(os.sched_getaffinity(0))
    return Run(
        load.rate,
        load.latencies,
        images / batches if batches else 1.0,  # without a GPU there are no batches
        decoding / load.seconds / processors,
    )


def _counts(port: int) -> tuple[float, float, float]:
    """How many batches there were, the images in them, and the seconds of decoding, so far."""
    text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0.0) + sample.value
    names = ("batch_images_count", "batch_images_sum", "decode_seconds_sum")
    batches, images, decoding = (found.get(f"greengrocer_{name}", 0.0) for name in names)
    return batches, images, decoding


def _table_alone(found: Found) -> str:
    headings = ("images in a batch", "images/s", "p50 ms", "p99 ms")
    rows: list[tuple[str, ...]] = [headings, ("---:",) * len(headings)]
    rows += [(f"{size}", *_pace(runs)) for size, runs in found.items()]
    return _markdown(rows)


def _table_served(found: Found) -> str:
    headings = ("clients", "images/s", "p50 ms", "p99 ms", "images a batch", "decoding")
    rows: list[tuple[str, ...]] = [headings, ("---:",) * len(headings)]
    for clients, runs in found.items():
        batch = median(run.images_a_batch for run in runs)
        share = median(run.decoding for run in runs)
        rows.append((f"{clients}", *_pace(runs), f"{batch:.1f}", f"{share:.0%}"))
    return _markdown(rows)


def _pace(runs: list[Run]) -> tuple[str, str, str]:
    latencies = [latency for run in runs for latency in run.latencies]
    p50, p99 = (float(each) * 1e3 for each in np.percentile(latencies, (50, 99)))
    return f"{median(run.rate for run in runs):.0f}", f"{p50:.1f}", f"{p99:.1f}"


def _markdown(rows: list[tuple[str, ...]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
