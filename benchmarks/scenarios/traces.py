"""Traces off, and on for a request that is exported and one that is not: what do they cost?

In this process, without a network: requests take turns between three applications over one
service, so that what else the machine does is in all of them.
"""

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from typing import Any

from opentelemetry.sdk.trace import TracerProvider
from starlette.types import ASGIApp
from tqdm import tqdm

from benchmarks.read_images import read_images
from greengrocer.assemble import assemble
from greengrocer.settings import Settings
from greengrocer.telemetry.spans import Spans, exporting_provider
from greengrocer.web.app import create_app

OFF, NOT_EXPORTED, EXPORTED = "off", "on, not exported", "on, exported"
SHARES = {NOT_EXPORTED: "0", EXPORTED: "1"}
REQUESTS = 30  # in a round, to each
MOST_SPANS = 8  # of a request
SAMPLED = 0.01  # of the requests, in the last row


class Swallow(BaseHTTPRequestHandler):
    """A collector that takes all spans and keeps none."""

    def do_POST(self) -> None:
        """Take one export."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def swallowing() -> Iterator[str]:
    """The address of such a collector."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Swallow) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def run(bundle: str, data: Path | None, rounds: int, seconds: float) -> str:
    """Measure, and return the table; ``seconds`` has no part in it."""
    del seconds
    with swallowing() as collector:
        return table(*asyncio.run(measure(bundle, read_images(data), rounds, collector)))


async def measure(
    bundle: str, images: list[bytes], rounds: int, collector: str
) -> tuple[dict[str, list[float]], float]:
    """Processor seconds of each request, and of exporting one, by the mean of a batch."""
    requests = rounds * REQUESTS
    os.environ |= {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector,
        "OTEL_BSP_SCHEDULE_DELAY": "3600000",  # so that no request pays for an export
        "OTEL_BSP_MAX_QUEUE_SIZE": str((requests + 1) * MOST_SPANS),
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": str((requests + 1) * MOST_SPANS),
    }
    service = assemble(Settings(bundles=(bundle,), access_log=False)).service
    providers = {name: _provider(share) for name, share in SHARES.items()}
    apps = {OFF: create_app(service)} | {
        name: create_app(replace(service, traces=Spans(provider)))
        for name, provider in providers.items()
    }
    spent: dict[str, list[float]] = {name: [] for name in apps}
    for app in apps.values():
        await _request(app, images[0])
    providers[EXPORTED].force_flush()
    for turn in tqdm(range(requests), "requests"):
        for name, app in apps.items():
            spent[name].append(await _request(app, images[turn % len(images)]))
    began = time.process_time()
    assert providers[EXPORTED].force_flush()
    export = (time.process_time() - began) / requests
    service.classifier.close()
    return spent, export


def _provider(share: str) -> TracerProvider:
    os.environ |= {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": share}
    return exporting_provider()


async def _request(app: ASGIApp, image: bytes) -> float:
    """Processor seconds of one request, of all threads."""
    messages = [{"type": "http.request", "body": image, "more_body": False}]
    waiting = asyncio.Event()  # which nothing sets: the client stays
    statuses = []

    async def receive() -> Any:
        if not messages:
            await waiting.wait()
        return messages.pop()

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    headers = [(b"host", b"127.0.0.1"), (b"content-type", b"image/jpeg")]
    scope: dict[str, Any] = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
    }
    scope |= {"path": "/predict", "raw_path": b"/predict", "query_string": b""}
    ends = {"client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8000)}
    began = time.process_time()
    await app({**scope, **ends, "headers": headers}, receive, send)
    spent = time.process_time() - began
    assert statuses == [200], statuses
    return spent


def table(spent: dict[str, list[float]], export: float) -> str:
    """The medians, and what they are more than off in the same turn, as a Markdown table."""
    off = spent[OFF]
    more = {
        name: median(each - without for each, without in zip(times, off, strict=True))
        for name, times in spent.items()
    }
    more[EXPORTED] += export
    more[f"on, exported of {SAMPLED:.0%}"] = more[NOT_EXPORTED] + SAMPLED * (
        more[EXPORTED] - more[NOT_EXPORTED]
    )
    usual = median(off)
    rows = [("traces", "CPU ms a request", "more, ms", "more"), ("---", "---:", "---:", "---:")]
    rows += [
        (name, f"{(usual + each) * 1e3:.2f}", f"{each * 1e3:.3f}", f"{each / usual:.1%}")
        for name, each in more.items()
    ]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
