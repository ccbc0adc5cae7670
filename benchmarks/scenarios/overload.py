"""Three times the load that the service can answer: does it still answer what it can?"""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.companion import Companion, companion
from benchmarks.load import picture_request, run_load
from benchmarks.machine import busy_seconds
from benchmarks.processes import Service, processor_seconds, service
from benchmarks.read_images import read_images
from benchmarks.scenarios.overload_table import CLIENTS, DEADLINE, TIMES, Round, Run, tables

WARMUP_SECONDS = 4.0  # the queue is full after about half of it
SERVICES = {"One process": (), "`--workers 2`": ("--workers", "2")}
LEAST_REFUSALS = 20.0  # a second: of fewer, the cost of one cannot be measured


class Bench:
    """A service, one that refuses everything, and what loads and watches them."""

    def __init__(
        self, served: Service, refusing: Service, arrivals: Companion, probe: Companion
    ) -> None:
        self.served = served
        self.refusing = refusing
        self.arrivals = arrivals
        self.probe = probe

    def round(self, requests: list[bytes], seconds: float) -> Round:
        """Measure once, each load for ``seconds``."""
        self.probe.ask(self.served.port, 0, seconds)
        unloaded = self.probe.answer()["latencies"]
        peak = self._peak(requests, seconds)
        overload = self._overload(TIMES * peak.answered, seconds)
        refusal = self._refusal(max(LEAST_REFUSALS, overload.refused), seconds)
        return Round(unloaded, peak, overload, refusal)

    def _peak(self, requests: list[bytes], seconds: float) -> Run:
        self.probe.ask(self.served.port, 0, seconds)
        meter = Meter(self.served)
        found = run_load(self.served.port, requests, CLIENTS, seconds)
        spent, all_spent = meter.read()
        probed = self.probe.answer()
        generator = (found.generator_seconds + probed["processor_seconds"]) / found.seconds
        return Run(
            sent=found.rate,
            answered=found.rate,
            refused=0.0,
            latencies=found.latencies,
            faults=Counter(errors=found.errors),
            service=spent,
            generator=generator,
            others=all_spent - spent - generator,
            probe=probed["latencies"],
            probe_failures=probed["failures"],
        )

    def _overload(self, rate: float, seconds: float) -> Run:
        self.probe.ask(self.served.port, WARMUP_SECONDS, seconds)
        seen, spent, all_spent = self._arrive(self.served, rate, seconds)
        probed = self.probe.answer()
        generator = (seen["processor_seconds"] + probed["processor_seconds"]) / seconds
        good = [latency for latency in seen["latencies"] if latency <= DEADLINE]
        return Run(
            sent=seen["sent"] / seconds,
            answered=len(good) / seconds,
            refused=seen["refused"] / seconds,
            latencies=good,
            faults=Counter(seen["faults"], late=len(seen["latencies"]) - len(good)),
            service=spent,
            generator=generator,
            others=all_spent - spent - generator,
            probe=probed["latencies"],
            probe_failures=probed["failures"],
        )

    def _refusal(self, rate: float, seconds: float) -> float:
        """Processor seconds of one refusal."""
        seen, spent, _ = self._arrive(self.refusing, rate, seconds)
        if seen["latencies"] or seen["faults"]:
            raise RuntimeError(f"the service that refuses everything did not: {seen}")
        return spent * seconds / float(seen["refused"])

    def _arrive(
        self, target: Service, rate: float, seconds: float
    ) -> tuple[dict[str, Any], float, float]:
        """What the generator saw; processor seconds a second of ``target`` and of the machine."""
        self.arrivals.ask(target.port, rate, WARMUP_SECONDS, seconds)
        time.sleep(WARMUP_SECONDS)
        meter = Meter(target)
        time.sleep(seconds)
        spent = meter.read()
        return self.arrivals.answer(), *spent


class Meter:
    """Processor seconds a second from now on, of a service and of the whole machine."""

    def __init__(self, target: Service) -> None:
        self._pid = target.pid
        self._start = self._now()

    def read(self) -> tuple[float, float]:
        """Both, until now."""
        seconds, spent, all_spent = map(float.__sub__, self._now(), self._start)
        return spent / seconds, all_spent / seconds

    def _now(self) -> tuple[float, float, float]:
        return time.perf_counter(), processor_seconds(self._pid), busy_seconds()


@contextmanager
def bench(data: Path | None, *flags: str) -> Iterator[Bench]:
    """Start all processes, the services with ``flags``, and end them afterwards."""
    pictures = [str(data)] if data else []
    with (
        service(*flags) as served,
        service(*flags, always_full=True) as refusing,
        companion("benchmarks.arrivals", *pictures) as arrivals,
        companion("benchmarks.probe") as probe,
    ):
        yield Bench(served, refusing, arrivals, probe)


def run(bundle: str, data: Path | None, rounds: int, seconds: float) -> str:
    """Measure one process, then several, and return the tables of each."""
    requests = [picture_request(picture) for picture in read_images(data)]
    parts = []
    for heading, flags in SERVICES.items():
        with bench(data, "--bundle", bundle, *flags) as ready:
            run_load(ready.served.port, requests, CLIENTS, 1.0)
            measured = [ready.round(requests, seconds) for _ in tqdm(range(rounds), heading)]
        parts.append(f"## {heading}\n\n{tables(measured)}")
    return "\n\n".join(parts)
