"""The most memory that the service may take, as docs/guides/production.md#memory promises it."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

MEGA = 1_000_000
OTHER_MODEL = 100 * MEGA  # bytes: one that is being loaded, or waits for a rollback
NOISE = 30 * MEGA  # bytes: what allocators of threads keep, and pages that come and go
NOW, HIGHEST = "VmRSS", "VmHWM"  # lines of /proc/PID/status


@dataclass(frozen=True)
class Figures:
    """Resident bytes of all processes together; what they share counts once for each."""

    start: int  # once it serves, before the first image
    peak: int  # each process at its own moment
    rest: int  # some moments after the last request

    def complaints(self, in_flight: int) -> list[str]:
        """What is over the promise, where uploads and decoding may take ``in_flight`` bytes."""
        rest = self.start + OTHER_MODEL + NOISE
        bounds = {"at its peak": (self.peak, rest + in_flight), "at rest": (self.rest, rest)}
        return [
            f"{when} it took {_megabytes(took)} MB, where {_megabytes(bound)} are promised "
            f"to what began with {_megabytes(self.start)}"
            for when, (took, bound) in bounds.items()
            if took > bound
        ]


class Memory:
    """The memory of processes that come and go, from now on."""

    def __init__(self, pids: Callable[[], list[int]]) -> None:
        self.pids = pids
        self.start = self.peak = self.now()
        self._line = HIGHEST if all(map(_forget_peak, pids())) else NOW

    def now(self) -> int:
        """What all take together."""
        return sum(_resident(pid, NOW) for pid in self.pids())

    def look(self) -> None:
        """Update the peak: from the kernel's figure, or from the current memory."""
        self.peak = max(self.peak, sum(_resident(pid, self._line) for pid in self.pids()))

    def at_rest(self) -> Figures:
        """What was found; to be called when the service has been idle for some moments."""
        self.look()
        return Figures(self.start, self.peak, self.now())


def _forget_peak(pid: int) -> bool:
    """Let the process's peak be what it takes now; whether the kernel allows that."""
    try:
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _resident(pid: int, line: str) -> int:
    """Bytes of a process by this line; none where it has ended since."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(rf"{line}:\s+(\d+) kB", status)
    return int(found[1]) * 1024 if found else 0


def _megabytes(count: int) -> str:
    return f"{count / MEGA:.0f}"
