"""What one service can do on this machine: how much of it does a shop need?"""

import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from tqdm import tqdm

from benchmarks.companion import Companion, companion
from benchmarks.load import picture_request, run_load
from benchmarks.photos import write_sizes
from benchmarks.pictures import read_pictures
from benchmarks.processes import Service, processor_seconds, proportional_memory, service

CLIENTS = 16
LOAD = 0.7  # of the rate that 16 clients get
WARMUP_SECONDS = 2.0
STARTS = 5
POISSON = 1.0
MEGA = 1e6
SIZES = ("data-set images", "12-megapixel photos")


@dataclass
class Run:
    """One size of images in one round. Times are in seconds."""

    rate: float  # images a second, by 16 clients
    processor_seconds: float  # of the service's process tree, an image
    latencies: list[float]  # at 70 % of the rate
    errors: int
    memory: int  # bytes, after that


def run(bundle: str, data: Path | None, rounds: int, seconds: float) -> str:
    """Measure, and return the table."""
    starts = [_start_seconds(bundle) for _ in tqdm(range(STARTS), "starts")]
    with tempfile.TemporaryDirectory() as home:
        folders = write_sizes(Path(home), read_pictures(data))
        found = {
            size: _measure(bundle, folder, rounds, seconds, size)
            for size, folder in zip(SIZES, folders, strict=True)
        }
    return table(found, median(starts))


def _start_seconds(bundle: str) -> float:
    started = time.perf_counter()
    with service("--bundle", bundle):
        return time.perf_counter() - started


def _measure(bundle: str, folder: Path, rounds: int, seconds: float, size: str) -> list[Run]:
    requests = [picture_request(image) for image in read_pictures(folder)]
    with ExitStack() as stack:
        served = stack.enter_context(service("--bundle", bundle))
        arrivals = stack.enter_context(companion("benchmarks.arrivals", str(folder)))
        run_load(served.port, requests, CLIENTS, WARMUP_SECONDS)
        return [_round(served, arrivals, requests, seconds) for _ in tqdm(range(rounds), size)]


def _round(served: Service, arrivals: Companion, requests: list[bytes], seconds: float) -> Run:
    before = processor_seconds(served.pid)
    peak = run_load(served.port, requests, CLIENTS, seconds)
    spent = processor_seconds(served.pid) - before
    arrivals.ask(served.port, LOAD * peak.rate, WARMUP_SECONDS, seconds, POISSON)
    seen = arrivals.answer()
    return Run(
        peak.rate,
        spent / max(1, len(peak.latencies)),
        seen["latencies"],
        peak.errors + seen["refused"] + sum(seen["faults"].values()),
        proportional_memory(served.pid),
    )


HEADINGS = (
    *("", "images/s a core", "images/s, 16 clients"),
    *("p50 ms at 70 %", "p99 ms at 70 %", "memory, MB", "start, s", "errors"),
)


def table(found: dict[str, list[Run]], start: float) -> str:
    """The medians over the rounds as a Markdown table; latencies of all rounds together."""
    rows = [HEADINGS, ("---", *["---:"] * (len(HEADINGS) - 1))]
    for size, runs in found.items():
        latencies = [latency for run in runs for latency in run.latencies]
        rows.append(
            (
                size,
                f"{1 / median(run.processor_seconds for run in runs):.0f}",
                f"{median(run.rate for run in runs):.0f}",
                f"{np.percentile(latencies, 50) * 1e3:.0f}",
                f"{np.percentile(latencies, 99) * 1e3:.0f}",
                f"{median(run.memory for run in runs) / MEGA:.0f}",
                f"{start:.1f}",
                f"{sum(run.errors for run in runs)}",
            )
        )
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
