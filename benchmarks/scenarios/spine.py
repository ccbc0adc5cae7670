"""The service against the bare pipeline: what do HTTP and scheduling cost?"""

from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from tqdm import tqdm

from benchmarks.bare import Bare, bare_process
from benchmarks.load import Outcome, picture_request, run_load
from benchmarks.pictures import read_pictures
from benchmarks.processes import processor_seconds, service

CLIENTS = (1, 4, 16, 64)
WARMUP_SECONDS = 1.0


@dataclass
class Run:
    """The service under one number of clients, in one round."""

    outcome: Outcome
    processor_seconds: float  # of the service's process tree, a request


@dataclass
class Results:
    """All rounds: the bare pipeline alone, on one and two threads, the service by clients."""

    wide: list[Bare] = field(default_factory=list)
    alone: list[Bare] = field(default_factory=list)
    pair: list[Bare] = field(default_factory=list)
    by_clients: dict[int, list[Run]] = field(default_factory=dict)


def run(bundle: str, data: Path | None, rounds: int, seconds: float) -> str:
    """Measure, and return the table."""
    return table(measure(bundle, data, rounds, seconds))


def measure(bundle: str, data: Path | None, rounds: int, seconds: float) -> Results:
    """Run everything in turn, ``rounds`` times, so that a slow minute slows all of it alike."""
    requests = [picture_request(image) for image in read_pictures(data)]
    results = Results(by_clients={clients: [] for clients in CLIENTS})
    with bare_process(bundle, data) as bare, service("--bundle", bundle) as server:
        bare.run(WARMUP_SECONDS, 2)
        run_load(server.port, requests, 4, WARMUP_SECONDS)
        for _ in tqdm(range(rounds), "rounds"):
            results.wide.append(bare.run(seconds, 1, wide=True))
            results.alone.append(bare.run(seconds, 1))
            results.pair.append(bare.run(seconds, 2))
            for clients, runs in results.by_clients.items():
                before = processor_seconds(server.pid)
                outcome = run_load(server.port, requests, clients, seconds)
                spent = processor_seconds(server.pid) - before
                runs.append(Run(outcome, spent / max(1, len(outcome.latencies))))
    return results


HEADINGS = (
    *("", "images/s", "of bare", "p50 ms", "p99 ms"),
    *("CPU ms an image", "net of bare", "errors"),
)


def table(results: Results) -> str:
    """The medians and ratios as a Markdown table."""
    rows = [
        HEADINGS,
        ("---", *["---:"] * (len(HEADINGS) - 1)),
        _bare_row("bare pipeline, one at a time on all processors", results.wide, results.pair),
        _bare_row("bare pipeline, 1 thread", results.alone, results.pair),
        _bare_row("bare pipeline, 2 threads", results.pair, results.pair),
        *(_row(clients, runs, results.pair) for clients, runs in results.by_clients.items()),
    ]
    one = median(run.outcome.percentile(50) for run in results.by_clients[1])
    narrow, wide = (
        one / median(run.median_latency for run in runs) for runs in (results.alone, results.wide)
    )
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    ratios = (
        f"One client's median latency is {narrow:.2f} of the bare one on one thread, "
        f"and {wide:.2f} of the bare one on all processors."
    )
    return "\n".join([*lines, "", ratios])


def _bare_row(name: str, runs: list[Bare], pair: list[Bare]) -> tuple[str, ...]:
    return (
        name,
        f"{median(run.rate for run in runs):.0f}",
        f"{median(run.rate / two.rate for run, two in zip(runs, pair, strict=True)):.2f}",
        f"{median(run.median_latency for run in runs) * 1e3:.2f}",
        "",
        f"{median(run.processor_seconds for run in runs) * 1e3:.2f}",
        "",
        "",
    )


def _row(clients: int, runs: list[Run], pair: list[Bare]) -> tuple[str, ...]:
    rounds = list(zip(runs, pair, strict=True))
    net = median(run.processor_seconds - bare.processor_seconds for run, bare in rounds)
    return (
        f"service, {clients} client{'s' if clients > 1 else ''}",
        f"{median(run.outcome.rate for run in runs):.0f}",
        f"{median(run.outcome.rate / bare.rate for run, bare in rounds):.2f}",
        f"{median(run.outcome.percentile(50) for run in runs) * 1e3:.2f}",
        f"{median(run.outcome.percentile(99) for run in runs) * 1e3:.2f}",
        f"{median(run.processor_seconds for run in runs) * 1e3:.2f}",
        f"{net * 1e3:.2f}",
        f"{sum(run.outcome.errors for run in runs)}",
    )
