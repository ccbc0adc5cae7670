"""The service against the bare pipeline: what do HTTP and scheduling cost?"""

from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from tqdm import tqdm

from benchmarks.bare import Bare, bare_process
from benchmarks.load import Outcome, picture_request, run_load
from benchmarks.processes import Service, least_server, processor_seconds, service
from benchmarks.read_images import read_images

CLIENTS = (1, 4, 16, 64)
LEAST, SERVICE = "least server", "service"
WARMUP_SECONDS = 1.0


@dataclass
class Run:
    """A server under one number of clients, in one round."""

    outcome: Outcome
    processor_seconds: float  # of the server's process tree, an image


@dataclass
class Results:
    """All rounds: the bare pipeline alone, on one and two threads, each server by clients."""

    wide: list[Bare] = field(default_factory=list)
    alone: list[Bare] = field(default_factory=list)
    pair: list[Bare] = field(default_factory=list)
    servers: dict[str, dict[int, list[Run]]] = field(
        default_factory=lambda: {
            server: {clients: [] for clients in CLIENTS} for server in (LEAST, SERVICE)
        }
    )


def run(bundle: str, data: Path | None, rounds: int, seconds: float) -> str:
    """Measure, and return the table."""
    return table(measure(bundle, data, rounds, seconds))


def measure(bundle: str, data: Path | None, rounds: int, seconds: float) -> Results:
    """Run everything in turn, ``rounds`` times, so that a slow minute slows all of it alike."""
    requests = [picture_request(image) for image in read_images(data)]
    results = Results()
    with (
        bare_process(bundle, data) as bare,
        least_server(bundle) as least,
        service("--bundle", bundle) as ours,
    ):
        servers = {LEAST: least, SERVICE: ours}
        bare.run(WARMUP_SECONDS, 2)
        for server in servers.values():
            run_load(server.port, requests, 4, WARMUP_SECONDS)
        for _ in tqdm(range(rounds), "rounds"):
            results.wide.append(bare.run(seconds, 1, wide=True))
            results.alone.append(bare.run(seconds, 1))
            results.pair.append(bare.run(seconds, 2))
            for clients in CLIENTS:
                for name, server in servers.items():
                    found = run_once(server, requests, clients, seconds)
                    results.servers[name][clients].append(found)
    return results


def run_once(
    server: Service, requests: list[bytes], clients: int, seconds: float, images: int = 1
) -> Run:
    """Load a server with requests of so many images each."""
    before = processor_seconds(server.pid)
    outcome = run_load(server.port, requests, clients, seconds)
    spent = processor_seconds(server.pid) - before
    return Run(outcome, spent / max(1, len(outcome.latencies) * images))


HEADINGS = (
    *("", "images/s", "of bare", "from", "to", "p50 ms", "p99 ms"),
    *("CPU ms an image", "net of bare", "errors"),
)


def table(results: Results) -> str:
    """The medians, and ratios within a round with their spread, as Markdown."""
    rows = [
        HEADINGS,
        ("---", *["---:"] * (len(HEADINGS) - 1)),
        _bare_row("bare pipeline, one at a time on all processors", results.wide, results.pair),
        _bare_row("bare pipeline, 1 thread", results.alone, results.pair),
        _bare_row("bare pipeline, 2 threads", results.pair, results.pair),
        *(
            _row(f"{name}, {clients} client{'s' if clients > 1 else ''}", runs, results.pair)
            for name, by_clients in results.servers.items()
            for clients, runs in by_clients.items()
        ),
    ]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    decoding = median(run.median_decoding for run in results.alone) * 1e3
    return "\n".join(
        [
            *lines,
            "",
            *(
                _one_client(name, by_clients[1], results)
                for name, by_clients in results.servers.items()
            ),
            f"- Decode and fit take {decoding:.2f} ms of the bare pipeline on one thread.",
        ]
    )


def _one_client(name: str, runs: list[Run], results: Results) -> str:
    latencies = [run.outcome.percentile(50) for run in runs]
    wide, narrow = (
        spread([one / other.median_latency for one, other in zip(latencies, bare, strict=True)])
        for bare in (results.wide, results.alone)
    )
    return (
        f"- {name}, 1 client: its median latency is {wide} of the bare one on all processors, and "
        f"{narrow} of that on one thread."
    )


def spread(ratios: list[float]) -> str:
    """The median, with the least and the most."""
    return f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def _bare_row(name: str, runs: list[Bare], pair: list[Bare]) -> tuple[str, ...]:
    ratios = [run.rate / two.rate for run, two in zip(runs, pair, strict=True)]
    return (
        name,
        f"{median(run.rate for run in runs):.0f}",
        *(f"{of(ratios):.2f}" for of in (median, min, max)),
        f"{median(run.median_latency for run in runs) * 1e3:.2f}",
        "",
        f"{median(run.processor_seconds for run in runs) * 1e3:.2f}",
        "",
        "",
    )


def _row(name: str, runs: list[Run], pair: list[Bare]) -> tuple[str, ...]:
    rounds = list(zip(runs, pair, strict=True))
    ratios = [run.outcome.rate / bare.rate for run, bare in rounds]
    net = median(run.processor_seconds - bare.processor_seconds for run, bare in rounds)
    return (
        name,
        f"{median(run.outcome.rate for run in runs):.0f}",
        *(f"{of(ratios):.2f}" for of in (median, min, max)),
        f"{median(run.outcome.percentile(50) for run in runs) * 1e3:.2f}",
        f"{median(run.outcome.percentile(99) for run in runs) * 1e3:.2f}",
        f"{median(run.processor_seconds for run in runs) * 1e3:.2f}",
        f"{net * 1e3:.2f}",
        f"{sum(run.outcome.errors for run in runs)}",
    )
