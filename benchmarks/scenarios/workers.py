"""One process against ``--workers``: what does crossing to the engine process cost an image?"""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tqdm import tqdm

from benchmarks.load import Outcome, picture_request, run_load
from benchmarks.pictures import read_pictures
from benchmarks.processes import Service, processor_seconds, proportional_memory, service

ARRANGEMENTS = {
    "one process": (),
    "`--workers 1`": ("--workers", "1"),
    "`--workers 2`": ("--workers", "2"),
}
ALONE = "one process"
CLIENTS = 16
WARMUP_SECONDS = 4.0
MEGA = 1e6


@dataclass
class Run:
    """One arrangement in one round."""

    outcome: Outcome
    processor_seconds: float  # of the service's process tree, an image
    memory: int  # in bytes, at the end of the run


Results = dict[str, list[Run]]


def run(bundle: str, data: Path | None, rounds: int, seconds: float) -> str:
    """Measure, and return the table."""
    return table(measure(bundle, data, rounds, seconds))


def measure(bundle: str, data: Path | None, rounds: int, seconds: float) -> Results:
    """Load the arrangements in turn, ``rounds`` times."""
    requests = [picture_request(image) for image in read_pictures(data)]
    with ExitStack() as stack:
        servers = {
            name: stack.enter_context(service("--bundle", bundle, *flags))
            for name, flags in ARRANGEMENTS.items()
        }
        return load_in_turn(servers, requests, rounds, seconds)


def load_in_turn(
    servers: Mapping[str, Service], requests: list[bytes], rounds: int, seconds: float
) -> Results:
    """Load ``servers``, which all run, one after the other, ``rounds`` times."""
    results: Results = {name: [] for name in servers}
    for server in servers.values():
        run_load(server.port, requests, CLIENTS, WARMUP_SECONDS)
    for _ in tqdm(range(rounds), "rounds"):
        for name, server in servers.items():
            results[name].append(run_once(server, requests, seconds))
    return results


def run_once(server: Service, requests: list[bytes], seconds: float) -> Run:
    """One run of the load, and what it cost."""
    before = processor_seconds(server.pid)
    outcome = run_load(server.port, requests, CLIENTS, seconds)
    spent = processor_seconds(server.pid) - before
    answered = max(1, len(outcome.latencies))
    return Run(outcome, spent / answered, proportional_memory(server.pid))


HEADINGS = (
    *("", "images/s", "of one process", "p50 ms", "p99 ms"),
    *("CPU ms an image", "more than one process", "memory, MB", "errors"),
)


def table(results: Results) -> str:
    """The medians, and ratios within a round, as a Markdown table."""
    rows = [
        HEADINGS,
        ("---", *["---:"] * (len(HEADINGS) - 1)),
        *(_row(name, runs, results[ALONE]) for name, runs in results.items()),
    ]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _row(name: str, runs: list[Run], alone: list[Run]) -> tuple[str, ...]:
    rounds = list(zip(runs, alone, strict=True))
    ratio = median(run.outcome.rate / one.outcome.rate for run, one in rounds)
    more = median(run.processor_seconds - one.processor_seconds for run, one in rounds)
    return (
        name,
        f"{median(run.outcome.rate for run in runs):.0f}",
        f"{ratio:.2f}",
        f"{median(run.outcome.percentile(50) for run in runs) * 1e3:.1f}",
        f"{median(run.outcome.percentile(99) for run in runs) * 1e3:.1f}",
        f"{median(run.processor_seconds for run in runs) * 1e3:.2f}",
        f"{more * 1e3:.2f}",
        f"{median(run.memory for run in runs) / MEGA:.0f}",
        f"{sum(run.outcome.errors for run in runs)}",
    )
