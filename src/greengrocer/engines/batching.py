"""Which of the waiting images run together now: a decision of values alone, with no threads."""

from collections.abc import Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

LARGEST_ON_GPU = 32  # images, unless a setting says otherwise


class BatchLimits(NamedTuple):
    """At most ``largest`` images run together; the first waits ``wait`` seconds for others."""

    largest: int
    wait: float = 0.0


class Waiting(Protocol):
    """An image in the queue. Times are moments of one monotonic clock, in seconds."""

    @property
    def arrived(self) -> float:
        """When it came."""

    @property
    def deadline(self) -> float:
        """From when on its answer is in vain."""

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for its answer any more."""


W = TypeVar("W", bound=Waiting)


class Turn(NamedTuple, Generic[W]):
    """What becomes of the queue; each part keeps the queue's order."""

    take: list[W]  # to run together, now
    drop: list[W]  # past their deadline, or cancelled
    keep: list[W]  # to stay in the queue
    look_again: float | None  # the moment when those kept may go alone; None: when one comes


def next_turn(queue: Sequence[W], limits: BatchLimits, now: float) -> Turn[W]:
    """What is queued runs at once, the oldest first, or waits as long as ``limits`` allow.

    ``queue`` is in the order of arrival. A wait ends early where the batch is full, and is not
    begun where a deadline would pass in it.
    """
    alive: list[W] = []
    drop: list[W] = []
    for picture in queue:  # each is asked once: it may be cancelled at any time
        (drop if picture.cancelled or picture.deadline <= now else alive).append(picture)
    if not alive:
        return Turn([], drop, [], None)
    end = alive[0].arrived + limits.wait
    full = len(alive) >= limits.largest
    if full or now >= end or min(picture.deadline for picture in alive) <= end:
        return Turn(alive[: limits.largest], drop, alive[limits.largest :], None)
    return Turn([], drop, alive, end)
