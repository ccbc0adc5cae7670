"""Start all contenders, compare labels, then load each in turn, round after round."""

import json
import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from tqdm import tqdm

from benchmarks.bare import Loop, bare_process
from benchmarks.float_graph import float_graph
from benchmarks.load import run_load
from benchmarks.machine import machine
from benchmarks.peers.agreement import REQUIRED, agreement
from benchmarks.peers.contenders import OURS, PEERS, contenders
from benchmarks.peers.protocols import Protocol
from benchmarks.peers.results import Results, Run
from benchmarks.peers.running import Running, running
from benchmarks.photos import write_sizes
from benchmarks.processes import processor_seconds
from benchmarks.read_images import read_images
from greengrocer.bundles.bundle import find_bundle
from greengrocer.bundles.manifest import read_manifest
from greengrocer.serving.resources import usable_processors

CLIENTS = (1, 4, 16)
COMPARED = 40  # images whose labels are compared, and all photos
WARMUP_SECONDS = 1.0


def measure(
    bundle: str,
    data: Path | None,
    rounds: int,
    seconds: float,
    out: Path,
    peers: Collection[str] = PEERS,
) -> Results:
    """Measure ourselves and ``peers``, and write the results to ``out`` after each round.

    Raises RuntimeError where a contender does not start, or our labels differ from the others'.
    """
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        names = (f"{'data-set' if data else 'gallery'} images", "12-megapixel photos")
        folders = dict(zip(names, write_sizes(home, read_images(data)), strict=True))
        sizes = {size: read_images(folder) for size, folder in folders.items()}
        small, large = sizes.values()
        everyone = contenders(bundle, _write_model(bundle, home), peers)
        servers = [
            stack.enter_context(running(contender, small[0], home))
            for contender in tqdm(everyone, "start")
        ]
        agreed = agreement(servers, [*_some(small, COMPARED), *large])
        if agreed[OURS] < REQUIRED:
            raise RuntimeError(f"our labels differ from the others': {agreed}")
        results = Results(
            bundle=Path(bundle).name,
            machine=machine(),
            rounds=rounds,
            seconds=seconds,
            bare={size: [] for size in sizes},
            pictures={size: _describe(pictures) for size, pictures in sizes.items()},
            agreement=agreed,
            notes={contender.name: contender.note for contender in everyone},
        )
        counted = [server for server in servers if agreed[server.name] >= REQUIRED]
        bare = {
            size: stack.enter_context(bare_process(bundle, folder))
            for size, folder in folders.items()
        }
        requests = _requests({server.protocol for server in counted}, sizes)
        for server in tqdm(counted, "warm up"):
            _run(server, "", requests[server.protocol, names[0]], CLIENTS[-1], WARMUP_SECONDS)
        for loop in bare.values():
            _bare_rate(loop, WARMUP_SECONDS)
        with tqdm(total=rounds * len(sizes) * len(CLIENTS) * len(counted), desc="runs") as bar:
            for turn in range(rounds):
                first = turn % len(counted)  # so that no contender always follows the same one
                for size in sizes:
                    results.bare[size].append(_bare_rate(bare[size], seconds))
                    for clients in CLIENTS:
                        for server in [*counted[first:], *counted[:first]]:
                            sent = requests[server.protocol, size]
                            results.runs.append(_run(server, size, sent, clients, seconds))
                            bar.update()
                results.save(out)
    return results


def _requests(
    protocols: Iterable[Protocol], sizes: Mapping[str, Sequence[bytes]]
) -> dict[tuple[Protocol, str], list[bytes]]:
    """The whole requests of a protocol with the images of a size."""
    return {
        (protocol, size): [*map(protocol.request, pictures)]
        for protocol in protocols
        for size, pictures in sizes.items()
    }


def _some(pictures: Sequence[bytes], most: int) -> list[bytes]:
    """Up to ``most`` of the images, from all over them."""
    return list(pictures[:: max(1, len(pictures) // most)][:most])


def _describe(pictures: Sequence[bytes]) -> str:
    return f"{len(pictures)} of {sum(map(len, pictures)) / len(pictures) / 1e3:,.0f} kB on average"


def _write_model(bundle: str, home: Path) -> Path:
    """The bundle's network as the peers take it, and the names of its classes."""
    directory = find_bundle(bundle)
    float_graph(directory, home / "model.onnx")
    classes = json.dumps(read_manifest(directory).classes)
    (home / "classes.json").write_text(classes, encoding="utf-8")
    return home


def _bare_rate(loop: Loop, seconds: float) -> float:
    """Images a second of the bare pipeline with an image on each processor."""
    return loop.run(seconds, usable_processors()).rate


def _run(
    server: Running, size: str, requests: Sequence[bytes], clients: int, seconds: float
) -> Run:
    with server.turn():
        before = processor_seconds(server.pid)
        outcome = run_load(server.port, requests, clients, seconds)
        spent = processor_seconds(server.pid) - before
    return Run(
        contender=server.name,
        pictures=size,
        clients=clients,
        rate=outcome.rate,
        latencies=[round(1e3 * latency, 2) for latency in outcome.latencies],
        errors=outcome.errors,
        processor_seconds=spent,
    )
