"""The bare pipeline in a process of its own: what the service could do if HTTP cost nothing.

Each line of standard input names a number of seconds and of threads, and may say that an image
which is alone gets all processors, as in the service; the answer is a ``Bare``.
"""

import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.companion import Companion, companion, serve
from benchmarks.read_images import read_images
from greengrocer.assemble_pipeline import build_pipeline
from greengrocer.bundles.bundle import find_bundle, load_bundle
from greengrocer.context import Context
from greengrocer.pipeline import Pipeline
from greengrocer.serving.resources import engine_threads


@dataclass(frozen=True)
class Bare:
    """What the bare pipeline did: images a second, and seconds an image."""

    rate: float
    processor_seconds: float
    median_latency: float
    median_decoding: float = 0.0  # with the fit; of those who tell


class Decoding:
    """The pipeline's observer: the seconds that each image's decoding and fitting took."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def decoded(self, seconds: float) -> None:
        """An image was decoded and fitted."""
        self.seconds.append(seconds)

    def inferred(self, seconds: float) -> None:
        """The model ran."""


class Loop:
    """A loop, kept warm in its process between runs."""

    def __init__(self, process: Companion) -> None:
        self._process = process

    def run(self, seconds: float, threads: int, wide: bool = False) -> Bare:
        """Classify for ``seconds`` on ``threads`` threads; ``wide``: all processors if alone."""
        self.begin(seconds, threads, wide)
        return self.end()

    def begin(self, seconds: float, threads: int, wide: bool = False) -> None:
        """The same, without waiting."""
        self._process.ask(seconds, threads, wide)

    def end(self) -> Bare:
        """What the run that was begun has done."""
        return Bare(**self._process.answer())


@contextmanager
def bare_process(bundle: str, data: Path | None) -> Iterator[Loop]:
    """Start the loop's process, and end it afterwards."""
    with loop_process("benchmarks.bare", bundle, *([str(data)] if data else [])) as loop:
        yield loop


@contextmanager
def loop_process(module: str, *arguments: str) -> Iterator[Loop]:
    """Start a loop that answers as this one does, and end it afterwards."""
    with companion(module, *arguments) as process:
        yield Loop(process)


def _measure(pipeline: Pipeline, images: Sequence[bytes], seconds: float, threads: int) -> Bare:
    latencies: list[float] = []
    pipeline.observer = decoding = Decoding()

    def loop(offset: int) -> None:
        turn = offset
        while (began := time.perf_counter()) < until:
            pipeline.classify(images[turn % len(images)], Context())
            latencies.append(time.perf_counter() - began)
            turn += 1

    started, processor = time.perf_counter(), time.process_time()
    until = started + seconds
    workers = [threading.Thread(target=loop, args=(index,)) for index in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    elapsed = time.perf_counter() - started
    count = len(latencies)
    return Bare(
        rate=count / elapsed,
        processor_seconds=(time.process_time() - processor) / count,
        median_latency=sorted(latencies)[count // 2],
        median_decoding=median(decoding.seconds),
    )


def main() -> None:
    """Answer until standard input ends."""
    bundle = load_bundle(find_bundle(sys.argv[1]))
    images = read_images(Path(sys.argv[2]) if len(sys.argv) > 2 else None)
    pipelines = build_pipeline(bundle), build_pipeline(bundle, threads=engine_threads())

    def work(seconds: float, threads: float, wide: float) -> object:
        return vars(_measure(pipelines[int(wide)], images, seconds, int(threads)))

    serve(work)


if __name__ == "__main__":
    main()
