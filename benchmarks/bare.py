"""The bare pipeline in a process of its own: what the service could do if HTTP cost nothing.

Reads a number of seconds and of threads from each line of standard input and answers with the
pictures classified, the seconds that it took and the processor seconds, as JSON.
"""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.pictures import read_pictures
from greengrocer.assemble import build_pipeline
from greengrocer.bundles.bundle import find_bundle, load_bundle
from greengrocer.context import Context
from greengrocer.pipeline import Pipeline


@dataclass(frozen=True)
class Bare:
    """What the bare pipeline did: pictures a second and processor seconds a picture."""

    rate: float
    processor_seconds: float
    median_latency: float


class BareProcess:
    """The loop, kept warm in its process between runs."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def run(self, seconds: float, threads: int) -> Bare:
        """Classify for ``seconds`` on ``threads`` threads."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{seconds} {threads}\n")
        self._process.stdin.flush()
        return Bare(**json.loads(self._process.stdout.readline()))


@contextmanager
def bare_process(bundle: str, data: Path | None) -> Iterator[BareProcess]:
    """Start the loop's process, and end it afterwards."""
    with loop_process("benchmarks.bare", bundle, *([str(data)] if data else [])) as loop:
        yield loop


@contextmanager
def loop_process(module: str, *arguments: str) -> Iterator[BareProcess]:
    """Start a loop that speaks as this one does, and end it afterwards."""
    command = [sys.executable, "-m", module, *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield BareProcess(process)
    finally:
        process.communicate("")


def _measure(pipeline: Pipeline, pictures: Sequence[bytes], seconds: float, threads: int) -> Bare:
    latencies: list[float] = []

    def loop(offset: int) -> None:
        turn = offset
        while (began := time.perf_counter()) < until:
            pipeline.classify(pictures[turn % len(pictures)], Context())
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
    )


def main() -> None:
    """Answer until standard input ends."""
    bundle = load_bundle(find_bundle(sys.argv[1]))
    pictures = read_pictures(Path(sys.argv[2]) if len(sys.argv) > 2 else None)
    pipeline = build_pipeline(bundle)
    for line in sys.stdin:
        seconds, threads = line.split()
        result = _measure(pipeline, pictures, float(seconds), int(threads))
        sys.stdout.write(json.dumps(vars(result)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
