"""The measurements, kept beside the page, which can be drawn again from them."""

from pathlib import Path
from statistics import median

import numpy as np
from pydantic import BaseModel


class Run(BaseModel):
    """One contender under one load, in one round."""

    contender: str
    pictures: str  # of which size
    clients: int
    rate: float  # good answers a second
    latencies: list[float]  # of the good answers, milliseconds
    errors: int
    processor_seconds: float  # of all its processes


class Results(BaseModel):
    """All runs, and what they were done with."""

    bundle: str
    machine: str
    rounds: int
    seconds: float
    pictures: dict[str, str]  # size -> how many and how large, in words
    agreement: dict[str, float]  # contender -> share of the labels that most others gave
    notes: dict[str, str]  # contender -> how it was run, in words
    bare: dict[str, list[float]]  # size -> images a second of the bare pipeline, by round
    runs: list[Run] = []

    def sizes(self) -> list[str]:
        """The sizes of images, in order."""
        return list(self.pictures)

    def clients(self) -> list[int]:
        """The numbers of clients, in order."""
        return sorted({run.clients for run in self.runs})

    def measured(self) -> list[str]:
        """The contenders that count, in order."""
        return list(dict.fromkeys(run.contender for run in self.runs))

    def of(self, contender: str, pictures: str, clients: int) -> "Figures":
        """One contender under one load."""
        key = contender, pictures, clients
        return Figures(
            [run for run in self.runs if (run.contender, run.pictures, run.clients) == key]
        )

    def save(self, path: Path) -> None:
        """Write everything as JSON."""
        path.write_text(self.model_dump_json(), encoding="utf-8")


class Figures:
    """One contender under one load, over all rounds."""

    def __init__(self, runs: list[Run]) -> None:
        self.runs = runs
        self.rates = [run.rate for run in runs]
        self.rate = median(self.rates)
        self.errors = sum(run.errors for run in runs)
        self._latencies = np.array([latency for run in runs for latency in run.latencies])

    def percentile(self, percent: float) -> float:
        """A latency in milliseconds, the rounds pooled; infinite without a good answer."""
        return float(np.percentile(self._latencies, percent)) if self._latencies.size else np.inf

    @property
    def processor_ms(self) -> float:
        """Processor time a good answer, milliseconds; infinite without one."""
        spent = sum(run.processor_seconds for run in self.runs)
        return 1e3 * spent / self._latencies.size if self._latencies.size else np.inf

    def times(self, other: "Figures") -> float:
        """The median, over the rounds, of this rate as a multiple of the other's."""
        return other.surpassed(self.rates)

    def surpassed(self, rates: list[float]) -> float:
        """The median, over the rounds, of ``rates`` as multiples of this rate."""
        pairs = zip(rates, self.rates, strict=True)
        return median(theirs / mine if mine else np.inf for theirs, mine in pairs)
