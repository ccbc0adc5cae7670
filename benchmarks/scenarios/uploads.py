"""Photos and small images by each way in: what does receiving a body cost?"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from tqdm import tqdm

from benchmarks.bare import Bare, bare_process
from benchmarks.load import (
    form_request,
    picture_request,
    request,
    run_load,
    tensor_body,
)
from benchmarks.photos import write_sizes
from benchmarks.processes import least_server, service
from benchmarks.read_images import read_images
from benchmarks.scenarios.spine import LEAST, SERVICE, Run, run_once, spread

WARMUP_SECONDS = 2.0
BATCH = 8  # images of a batch or of a tensor
CLIENTS = (4, 16)
FEW = 2  # clients that send several images in a request
WORKERS = "--workers 2"


@dataclass(frozen=True)
class Way:
    """A way in: how images become requests, and to which server."""

    name: str
    sizes: str  # of its images: PHOTOS or SMALL
    clients: int
    requests: Callable[[Sequence[bytes]], list[bytes]]
    images: int = 1  # in a request
    server: str = SERVICE


@dataclass
class Results:
    """All rounds: the bare pipeline by size, and the ways in by name."""

    bare: dict[str, list[Bare]] = field(default_factory=dict)
    ways: dict[str, list[Run]] = field(default_factory=dict)


PHOTOS, SMALL = "photos", "small images"


def _each(make: Callable[[bytes], bytes]) -> Callable[[Sequence[bytes]], list[bytes]]:
    return lambda images: [make(image) for image in images]


def _batches(make: Callable[..., bytes]) -> Callable[[Sequence[bytes]], list[bytes]]:
    return lambda images: [
        make(*images[at : at + BATCH]) for at in range(0, len(images) - BATCH + 1, BATCH)
    ]


def _batch(*images: bytes) -> bytes:
    return form_request(*images, target="/predict/batch")


def _tensor(*images: bytes) -> bytes:
    """A request of the Open Inference Protocol, with the images as binary data."""
    body, length = tensor_body([len(images)], *images)
    line = f"inference-header-content-length: {length}"
    return request("/v2/models/MODEL/infer", "application/octet-stream", body, line)


PREDICT = "`/predict`, 16 clients"
WAYS = (
    *(
        Way(f"photos, raw, {n} clients, least server", PHOTOS, n, _each(picture_request), 1, LEAST)
        for n in CLIENTS
    ),
    *(Way(f"photos, raw, {n} clients", PHOTOS, n, _each(picture_request)) for n in CLIENTS),
    *(Way(f"photos, form, {n} clients", PHOTOS, n, _each(form_request)) for n in CLIENTS),
    Way("photos, raw, 16 clients, `--workers 2`", PHOTOS, 16, _each(picture_request), 1, WORKERS),
    Way(PREDICT, SMALL, 16, _each(picture_request)),
    Way(f"`/predict/batch` of {BATCH}, {FEW} clients", SMALL, FEW, _batches(_batch), BATCH),
    Way("`/v2` binary of 1, 16 clients", SMALL, 16, _each(_tensor)),
    Way(f"`/v2` binary of {BATCH}, {FEW} clients", SMALL, FEW, _batches(_tensor), BATCH),
)


def run(bundle: str, data: Path | None, rounds: int, seconds: float) -> str:
    """Measure, and return the table."""
    return table(measure(bundle, data, rounds, seconds))


def measure(bundle: str, data: Path | None, rounds: int, seconds: float) -> Results:
    """Run the bare pipeline and all ways in turn, ``rounds`` times."""
    results = Results({PHOTOS: [], SMALL: []}, {way.name: [] for way in WAYS})
    model = Path(bundle).name.encode()
    with tempfile.TemporaryDirectory() as home, ExitStack() as stack:
        small, large = write_sizes(Path(home), read_images(data))
        folders = {PHOTOS: large, SMALL: small}
        bare = {
            size: stack.enter_context(bare_process(bundle, folder))
            for size, folder in folders.items()
        }
        servers = {
            SERVICE: stack.enter_context(service("--bundle", bundle)),
            WORKERS: stack.enter_context(service("--bundle", bundle, *WORKERS.split())),
            LEAST: stack.enter_context(least_server(bundle)),
        }
        sent = {
            way.name: [
                each.replace(b"/models/MODEL/", b"/models/%b/" % model, 1)
                for each in way.requests(read_images(folders[way.sizes]))
            ]
            for way in WAYS
        }
        for way in WAYS:
            run_load(servers[way.server].port, sent[way.name], way.clients, WARMUP_SECONDS)
        for _ in tqdm(range(rounds), "rounds"):
            for size, loop in bare.items():
                results.bare[size].append(loop.run(seconds, 2))
            for way in WAYS:
                found = run_once(
                    servers[way.server], sent[way.name], way.clients, seconds, way.images
                )
                results.ways[way.name].append(found)
    return results


HEADINGS = ("", "images/s", "of bare", "from", "to", "CPU ms an image", "net of bare", "errors")


def table(results: Results) -> str:
    """The medians, with ratios within a round and their spread, as a Markdown table."""
    rows = [HEADINGS, ("---", *["---:"] * (len(HEADINGS) - 1))]
    for size, runs in results.bare.items():
        rate, spent = (
            median(run.rate for run in runs),
            median(run.processor_seconds for run in runs),
        )
        empty = ("", "", "")
        rows.append((f"bare pipeline, {size}", f"{rate:.1f}", *empty, f"{spent * 1e3:.2f}", "", ""))
    rows += [_row(way, results.ways[way.name], results.bare[way.sizes]) for way in WAYS]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([*lines, "", *_beside_predict(results)])


def _beside_predict(results: Results) -> Iterator[str]:
    predict = [run.outcome.rate for run in results.ways[PREDICT]]
    for way in WAYS[[way.name for way in WAYS].index(PREDICT) + 1 :]:
        rates = [run.outcome.rate * way.images for run in results.ways[way.name]]
        ratios = [rate / other for rate, other in zip(rates, predict, strict=True)]
        yield f"- {way.name}: {spread(ratios)} of `/predict`'s rate."


def _row(way: Way, runs: list[Run], bare: list[Bare]) -> tuple[str, ...]:
    rounds = list(zip(runs, bare, strict=True))
    ratios = [run.outcome.rate * way.images / one.rate for run, one in rounds]
    net = median(run.processor_seconds - one.processor_seconds for run, one in rounds)
    return (
        way.name,
        f"{median(run.outcome.rate * way.images for run in runs):.1f}",
        *(f"{of(ratios):.2f}" for of in (median, min, max)),
        f"{median(run.processor_seconds for run in runs) * 1e3:.2f}",
        f"{net * 1e3:.2f}",
        f"{sum(run.outcome.errors for run in runs)}",
    )
