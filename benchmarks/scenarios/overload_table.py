"""The results of an overload: the arithmetic of each round, the tables, the verdict."""

from collections import Counter
from dataclasses import dataclass
from statistics import median

import numpy as np

from greengrocer.settings import Settings

TIMES = 3  # the peak
CLIENTS = 16  # of the closed loop that measures the peak
LEAST = 0.95  # of what the processors have time for
PROBE_P99 = 0.02  # seconds
PROBE_SECONDS = 1.0  # the default timeout of a kubelet's probe
DEADLINE: float = Settings.model_fields["request_timeout_seconds"].default


@dataclass(frozen=True)
class Run:
    """One kind of load, in one round. Latencies are in seconds, all other figures a second's."""

    sent: float
    answered: float  # within the deadline
    refused: float  # by a 429 with a Retry-After
    latencies: list[float]  # of what was answered
    faults: Counter[str]  # by kind, in all
    service: float  # processor seconds of the service
    generator: float  # of the load generator and the probe
    others: float  # of everything else on the machine
    probe: list[float]  # latencies of /livez
    probe_failures: int  # in all


@dataclass(frozen=True)
class Round:
    """All loads in turn."""

    unloaded: list[float]  # latencies of /livez, in seconds
    peak: Run
    overload: Run
    refusal_seconds: float  # processor seconds of one

    @property
    def picture_seconds(self) -> float:
        """Processor seconds that the service takes for an image at its peak."""
        return self.peak.service / self.peak.answered

    @property
    def overloaded_picture_seconds(self) -> float:
        """Processor seconds that it takes for one under overload, refusals aside."""
        return (self.overload.service - self.refusals) / self.overload.answered

    @property
    def refusals(self) -> float:
        """Processor seconds a second that refusals take under overload."""
        return self.overload.refused * self.refusal_seconds

    @property
    def busy_at_peak(self) -> float:
        """Processor seconds a second that service and generator take at the peak."""
        return self.peak.service + self.peak.generator

    @property
    def affordable(self) -> float:
        """Images a second for which the processor time of the peak suffices under overload."""
        left = self.busy_at_peak - self.refusals - self.overload.generator
        return left / self.picture_seconds

    @property
    def disturbance(self) -> float:
        """Processor seconds a second that others took under overload, and not at the peak."""
        return self.overload.others - self.peak.others

    @property
    def undisturbed_ratio(self) -> float:
        """The share answered of what was affordable in the remaining time."""
        lost = self.disturbance / self.picture_seconds
        return self.overload.answered / (self.affordable - lost)

    @property
    def ratio(self) -> float:
        """What was answered, of what was affordable."""
        return self.overload.answered / self.affordable


SEEN = (
    *("", "sent/s", "answered/s", "refused/s", "p50 ms", "p99 ms", "faults"),
    *("service, CPU s/s", "generator", "others", "/livez p50 ms", "p99 ms", "worst ms"),
)
ARITHMETIC = (
    *("round", "peak/s", "CPU ms an image", "CPU ms a refusal", "refused/s", "CPU s/s at peak"),
    *("less refusals", "less generator", "affordable/s", "answered/s", "ratio"),
    *("CPU ms an image then", "others, more than at peak", "ratio without them"),
)


def tables(rounds: list[Round]) -> str:
    """What was seen, the arithmetic of each round, and the verdict, as Markdown."""
    loads = {
        f"peak, {CLIENTS} clients": [one.peak for one in rounds],
        f"overload, {TIMES} times the peak": [one.overload for one in rounds],
    }
    unloaded = [latency for one in rounds for latency in one.unloaded]
    seen = _table(
        SEEN,
        [
            ("unloaded", *[""] * 9, *_milliseconds(unloaded, 50, 99, 100)),
            *(_load_row(name, runs) for name, runs in loads.items()),
        ],
    )
    arithmetic = _table(ARITHMETIC, [_arithmetic_row(n, one) for n, one in enumerate(rounds, 1)])
    return "\n".join([*seen, "", *arithmetic, "", _verdict(rounds)])


def _verdict(rounds: list[Round]) -> str:
    ratios = [one.ratio for one in rounds]
    undisturbed = median(one.undisturbed_ratio for one in rounds)
    overloads = [one.overload for one in rounds]
    p99 = max(float(np.percentile(run.latencies, 99)) for run in overloads)
    worst = max(max(run.probe) for run in overloads)
    failures = sum(run.probe_failures for run in overloads)
    faults = sum(run.faults.total() for run in overloads)
    calm = not failures and worst <= PROBE_SECONDS
    probed = [latency for run in overloads for latency in run.probe]
    probe_p99 = float(np.percentile(probed, 99))
    return f"""\
- Answered of what was affordable: {median(ratios):.3f}, in the rounds from {min(ratios):.3f} to \
{max(ratios):.3f} (at least {LEAST}): {_reached(ratios)}. Without what others took meanwhile: \
{undisturbed:.3f}.
- p99 of the accepted, of the worst round: {p99:.2f} s (deadline {DEADLINE:g} s): \
{_met(p99 <= DEADLINE)}.
- `/livez` under overload: p99 of all rounds {probe_p99 * 1e3:.0f} ms (at most \
{PROBE_P99 * 1e3:.0f} ms): {_met(probe_p99 <= PROBE_P99)}.
- `/livez` under overload: {failures} failures, slowest answer after {worst * 1e3:.0f} ms \
(no failure, within {PROBE_SECONDS:g} s): {_met(calm)}.
- Faults under overload: {faults} (none): {_met(not faults)}."""


def _reached(ratios: list[float]) -> str:
    """Met or not where the middle half of the rounds agrees."""
    lower, upper = np.percentile(ratios, [25, 75])
    if lower < LEAST <= upper:
        return "**not shown**, the rounds differ too much"
    return _met(bool(lower >= LEAST))


def _met(yes: bool) -> str:
    return "met" if yes else "**not met**"


def _load_row(name: str, runs: list[Run]) -> tuple[str, ...]:
    faults = sum((run.faults for run in runs), Counter[str]())
    answered = [latency for run in runs for latency in run.latencies]
    return (
        name,
        f"{median(run.sent for run in runs):.0f}",
        f"{median(run.answered for run in runs):.0f}",
        f"{median(run.refused for run in runs):.0f}",
        *_milliseconds(answered, 50, 99),
        ", ".join(f"{count} {kind}" for kind, count in faults.items() if count) or "0",
        f"{median(run.service for run in runs):.2f}",
        f"{median(run.generator for run in runs):.2f}",
        f"{median(run.others for run in runs):.2f}",
        *_milliseconds([latency for run in runs for latency in run.probe], 50, 99, 100),
    )


def _arithmetic_row(number: int, one: Round) -> tuple[str, ...]:
    return (
        str(number),
        f"{one.peak.answered:.1f}",
        f"{one.picture_seconds * 1e3:.2f}",
        f"{one.refusal_seconds * 1e3:.3f}",
        f"{one.overload.refused:.1f}",
        f"{one.busy_at_peak:.3f}",
        f"{one.refusals:.3f}",
        f"{one.overload.generator:.3f}",
        f"{one.affordable:.1f}",
        f"{one.overload.answered:.1f}",
        f"{one.ratio:.3f}",
        f"{one.overloaded_picture_seconds * 1e3:.2f}",
        f"{one.disturbance:.3f}",
        f"{one.undisturbed_ratio:.3f}",
    )


def _milliseconds(latencies: list[float], *percents: float) -> tuple[str, ...]:
    return tuple(
        f"{float(np.percentile(latencies, percent)) * 1e3:.1f}" if latencies else ""
        for percent in percents
    )


def _table(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    rule = ("---", *["---:"] * (len(headings) - 1))
    return ["| " + " | ".join(row) + " |" for row in (headings, rule, *rows)]
