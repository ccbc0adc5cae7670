"""A hundred thousand images: does a service take more and more memory as it goes on?"""

from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from benchmarks.load import picture_request, run_load
from benchmarks.pictures import read_pictures
from benchmarks.processes import (
    open_descriptors,
    process_tree,
    proportional_memory,
    running_threads,
    service,
)

ARRANGEMENTS = {"one process": (), "`--workers 2`": ("--workers", "2")}
PICTURES = 100_000
STEP = 10_000
CLIENTS = 16
RUN_SECONDS = 2.0  # of load with the same connections
MEGA = 1e6


@dataclass
class State:
    """What the process tree of a service has, once it has answered so many images."""

    answered: int
    memory: int  # proportional, in bytes
    descriptors: int
    threads: int
    errors: int  # so far


def run(bundle: str, data: Path | None, rounds: int, seconds: float) -> str:
    """Measure once, whatever ``rounds`` and ``seconds`` are, and return the table."""
    del rounds, seconds
    requests = [picture_request(image) for image in read_pictures(data)]
    flags = ("--bundle", bundle, "--max-queue-seconds", "60", "--request-timeout-seconds", "60")
    return table({name: measure((*flags, *own), requests) for name, own in ARRANGEMENTS.items()})


def measure(flags: tuple[str, ...], requests: list[bytes]) -> list[State]:
    """The states after each ``STEP`` images."""
    states: list[State] = []
    answered = errors = 0
    with service(*flags) as server, tqdm(total=PICTURES, desc=" ".join(flags)) as progress:
        while answered < PICTURES:
            outcome = run_load(server.port, requests, CLIENTS, RUN_SECONDS)
            answered += len(outcome.latencies)
            errors += outcome.errors
            progress.update(len(outcome.latencies))
            if answered >= STEP * (len(states) + 1):
                pids = process_tree(server.pid)
                descriptors, threads = open_descriptors(pids), running_threads(pids)
                memory = proportional_memory(server.pid)
                states.append(State(answered, memory, descriptors, threads, errors))
    return states


def table(results: dict[str, list[State]]) -> str:
    """Each state, as a Markdown table."""
    lines = ["| | images | memory, MB | descriptors | threads | errors |"]
    lines.append("|---|---:|---:|---:|---:|---:|")
    for name, states in results.items():
        for state in states:
            counts = (state.descriptors, state.threads, state.errors)
            figures = " | ".join(map(str, counts))
            lines.append(f"| {name} | {state.answered} | {state.memory / MEGA:.1f} | {figures} |")
    return "\n".join(lines)
