"""Memory, descriptors and threads of the service's processes as time goes on: are they flat?"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from statistics import median
from typing import NamedTuple

from benchmarks.processes import open_descriptors, own_memory, running_threads

from soak.memory import Memory

EVERY_SECONDS = 0.5
WARM = 0.25  # of all samples: those before are of a service that is not warm yet
LEAST = 16  # samples, of which thirds can be compared


class Bound(NamedTuple):
    """How much the last third's median may be above the first's: a share of it, and so much."""

    share: float
    more: float

    def limit(self, first: float) -> float:
        """The most that the last may be."""
        return first * (1 + self.share) + self.more


# The rest of the noise is in the second number: what is in flight, and pages that come and go.
BOUNDS = {
    "memory": Bound(0.10, 30_000_000),
    "descriptors": Bound(0.05, 16),
    "threads": Bound(0.05, 4),
}


@dataclass(frozen=True)
class Sample:
    """Of the whole process tree: bytes of proportional memory (Pss), and two counts."""

    memory: int
    descriptors: int
    threads: int


class Watch:
    """Takes samples at intervals, if the service has settled, and reports the passing of time."""

    def __init__(
        self,
        pids: Callable[[], list[int]],
        settled: Callable[[], bool],
        ticked: Callable[[], object],
    ) -> None:
        self.pids = pids
        self.memory = Memory(pids)
        self.settled = settled
        self.ticked = ticked
        self.samples: list[Sample] = []

    async def run(self) -> None:
        """Until cancelled."""
        with suppress(asyncio.CancelledError):
            while True:
                await asyncio.sleep(EVERY_SECONDS)
                self.memory.look()
                with suppress(OSError):  # a process has died during the sample
                    if self.settled():
                        self.samples.append(sample(self.pids()))
                self.ticked()


def sample(pids: list[int]) -> Sample:
    """A sample of these processes; raises OSError if one ends meanwhile."""
    return Sample(sum(map(own_memory, pids)), open_descriptors(pids), running_threads(pids))


class Trend(NamedTuple):
    """The median of the first third and of the last, once warm."""

    first: float
    last: float


def trends(samples: Sequence[Sample]) -> dict[str, Trend]:
    """By name; raises ValueError for too few samples."""
    if len(samples) < LEAST:
        raise ValueError(f"{len(samples)} samples are too few: let it run for longer")
    warm = samples[int(len(samples) * WARM) :]
    third = len(warm) // 3
    columns = {name: [asdict(each)[name] for each in warm] for name in BOUNDS}
    return {
        name: Trend(median(values[:third]), median(values[-third:]))
        for name, values in columns.items()
    }


def growths(found: dict[str, Trend]) -> list[str]:
    """What has grown by more than its bound."""
    return [
        f"{name} grew from {trend.first:.0f} to {trend.last:.0f}"
        for name, trend in found.items()
        if trend.last > BOUNDS[name].limit(trend.first)
    ]
