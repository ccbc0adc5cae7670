"""Admission control: limits on the bytes in memory and on the expected waiting time.

All models share both, and each is counted at its own pace. All of it runs on the event loop, so it
needs no locks.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Self

from greengrocer.context import Context
from greengrocer.errors import DeadlineExceeded, Overloaded, Refusal
from greengrocer.model_names import name_of
from greengrocer.serving.budget import Budget, PartialBudget
from greengrocer.serving.wait_queue import WaitQueue

SMOOTHING = 0.05  # weight of the newest service time in the running mean


@dataclass(frozen=True)
class AdmissionLimits:
    """What may be in flight at once."""

    upload_bytes: int
    wait_seconds: float  # longest expected wait for a thread
    shares: Mapping[str, float] = field(default_factory=dict)  # of both, 0 to 1, by a model's name


class ModelTraffic:
    """The images of one model: how long each takes, how many are in flight, and who waits."""

    def __init__(self, key: str, seconds: float, queue: WaitQueue) -> None:
        self.name = name_of(key)
        self.seconds = seconds  # running mean of an image's time in a thread
        self.queue = queue
        self.images = 0
        self.patient = 0  # images among them that waited in the queue
        self.aside = 0  # further ones, which wait for something else than a thread
        self.forgotten = False  # the model no longer serves: these are its last images


class Admission:
    """Admits an image, or refuses it with the seconds to wait before a retry.

    Patient images, all but the first of a batch, wait in a queue of their model's until they are
    admitted. They take at most half of the waiting time, so that a batch leaves room for other
    requests. A model with a share takes at most that part of the waiting time and of the bytes.

    Models are told apart by their keys. One that is not known yet begins at the pace
    ``service_seconds``. ``on_bytes`` is called with the reserved bytes whenever they change.
    """

    def __init__(
        self,
        limits: AdmissionLimits,
        threads: int,
        service_seconds: float,
        on_bytes: Callable[[int], object] = lambda _: None,
    ) -> None:
        self.limits = limits
        self.threads = threads
        self._first_seconds = service_seconds
        self._traffic: dict[str, ModelTraffic] = {}
        self._bytes = Budget(limits.upload_bytes, on_bytes)
        self._parts = {
            name: PartialBudget(self._bytes, max(1, int(share * limits.upload_bytes)))
            for name, share in limits.shares.items()
        }

    @property
    def pictures(self) -> int:
        """The images in flight, of all models, those that wait for memory among them."""
        return sum(traffic.images + traffic.aside for traffic in self._traffic.values())

    @property
    def bytes_in_flight(self) -> int:
        """The bytes of uploads and answers that are reserved, of all models."""
        return self._bytes.used

    @property
    def uploads_waiting(self) -> int:
        """The uploads that wait for free bytes."""
        return self._bytes.waiting

    @property
    def waiting(self) -> int:
        """The images that wait to be admitted, of all models."""
        return sum(len(traffic.queue) for traffic in self._traffic.values())

    @property
    def paces(self) -> dict[str, float]:
        """Seconds that an image of each model takes in a thread, as measured, by its key."""
        return {key: traffic.seconds for key, traffic in self._traffic.items()}

    @property
    def service_seconds(self) -> float:
        """How long an image of the slowest model takes in a thread, as measured."""
        return max(self.paces.values(), default=self._first_seconds)

    def expect(self, model: str, seconds: float) -> None:
        """Begin to count a model that was just loaded, at the pace that was measured."""
        traffic = self._of(model)
        traffic.seconds, traffic.forgotten = seconds, False

    def forget(self, model: str) -> None:
        """Stop counting a model as soon as none of its images is in flight."""
        if model in self._traffic:
            self._traffic[model].forgotten = True
            self._drop_forgotten()

    def rename(self, model: str, new: str) -> None:
        """Count a model under another key from now on, at the pace that was measured."""
        if model in self._traffic:
            self.expect(new, self._traffic[model].seconds)
            self.forget(model)

    def expected_wait(self) -> float:
        """Seconds until a thread is free for an image that arrives now."""
        return self._wait_behind(self._traffic.values())

    def retry_after(self) -> int:
        """Whole seconds until all images in flight are answered, as measured; at least 1."""
        work = sum(
            each.seconds * (each.images + len(each.queue)) for each in self._traffic.values()
        )
        return max(1, math.ceil(work / self.threads))

    def reserve_bytes(self, model: str = "") -> "ReservedBytes":
        """Count an upload's bytes; they stay reserved until its answer is sent."""
        return ReservedBytes(self, self._bytes_of(model))

    def most_bytes(self, model: str = "") -> int:
        """The most bytes that an upload for a model may ever have: all of them, or its share."""
        return self._bytes_of(model).capacity

    def admit(self, model: str = "") -> "AdmittedImage":
        """Admit an image; raises Overloaded where it would wait for too long."""
        traffic = self._of(model)
        wait = self.expected_wait()
        if wait > self.limits.wait_seconds:
            raise Overloaded(
                f"the queue is full: an image would wait {wait:.1f} seconds; retry later",
                self.retry_after(),
            )
        if self._is_over_its_share(traffic):
            share = self.limits.shares[traffic.name]
            raise Overloaded(
                f"the model {traffic.name} has used up its share of the queue, "
                f"{share:.0%}; retry later",
                self.retry_after(),
            )
        traffic.images += 1
        return AdmittedImage(self, traffic, patient=False)

    async def admit_in_turn(self, context: Context, model: str = "") -> "AdmittedImage":
        """Admit an image; where its context is patient, wait for it in the queue.

        Raises Overloaded, DeadlineExceeded or ClientDisconnected.
        """
        if context.patient:
            traffic = self._of(model)
            await traffic.queue.wait(1, context)
            image = AdmittedImage(self, traffic, patient=True)
        else:
            image = self.admit(model)
        context.aside = image.aside
        return image

    def served(self, seconds: float, model: str = "") -> None:
        """Update a model's mean time with an image that took ``seconds`` in a thread.

        Call it while the image is admitted, or a model that was forgotten would be counted again.
        """
        traffic = self._of(model)
        traffic.seconds += SMOOTHING * (seconds - traffic.seconds)
        self.advance()

    def advance(self) -> None:
        """Admit those who wait, one of each model in turn, as long as there is room."""
        waiting = [traffic.queue for traffic in self._traffic.values() if len(traffic.queue)]
        while waiting:
            waiting = [queue for queue in waiting if queue.admit_first()]
        self._drop_forgotten()

    def _drop_forgotten(self) -> None:
        self._traffic = {
            key: each
            for key, each in self._traffic.items()
            if each.images or each.aside or len(each.queue) or not each.forgotten
        }

    def _bytes_of(self, model: str) -> Budget:
        return self._parts.get(name_of(model), self._bytes)

    def _of(self, model: str) -> ModelTraffic:
        traffic = self._traffic.get(model)
        if traffic is None:

            def take(count: int) -> bool:
                return self._take_places(new, count)

            def give(count: int) -> None:
                new.images -= count
                new.patient -= count
                self.advance()

            new = ModelTraffic(model, self._first_seconds, WaitQueue(take, give))
            traffic = self._traffic[model] = new
        return traffic

    def _wait_behind(self, traffics: Iterable[ModelTraffic]) -> float:
        """Seconds until a thread is free behind all images of some models."""
        images, work = 0, 0.0
        for each in traffics:
            images += each.images
            work += each.images * each.seconds
        return self._wait(images, work)

    def _wait(self, images: int, work: float) -> float:
        """Seconds until a thread is free behind so many images of ``work`` seconds together."""
        ahead = images + 1 - self.threads
        return ahead * (work / images) / self.threads if images and ahead > 0 else 0.0

    def _is_over_its_share(self, traffic: ModelTraffic) -> bool:
        share = self.limits.shares.get(traffic.name)
        if share is None:
            return False
        own = (each for each in self._traffic.values() if each.name == traffic.name)
        return self._wait_behind(own) > share * self.limits.wait_seconds

    def _take_places(self, traffic: ModelTraffic, count: int) -> bool:
        """Admit a patient image if twice as many of them would still be within the limit."""
        patient = sum(each.patient for each in self._traffic.values())
        work = sum(each.patient * each.seconds for each in self._traffic.values())
        longest = max(self.expected_wait(), self._wait(2 * patient, 2 * work))
        if longest > self.limits.wait_seconds or self._is_over_its_share(traffic):
            return False
        traffic.images += count
        traffic.patient += count
        return True


class ReservedBytes:
    """The bytes of one upload that are reserved, released at the end of the ``with`` block.

    ``released`` is called then.
    """

    def __init__(self, admission: Admission, budget: Budget) -> None:
        self.size = 0
        self.released: Callable[[], object] = lambda: None
        self._admission = admission
        self._budget = budget

    def grow(self, amount: int) -> None:
        """Reserve ``amount`` more bytes; raises Overloaded where too few are free."""
        if not self._budget.take(amount):
            raise self._full()
        self.size += amount

    def hold(self, amount: int) -> None:
        """Reserve ``amount`` bytes for a finished answer, ahead of uploads that wait.

        Raises Overloaded where too few are free.
        """
        if not self._budget.take_first(amount):
            raise self._full()
        self.size += amount

    async def grow_in_turn(self, amount: int, context: Context) -> None:
        """Wait until ``amount`` more bytes are free, and reserve them.

        Raises Overloaded where the deadline passes first, or ClientDisconnected.
        """
        try:
            await self._budget.wait(amount, context)
        except DeadlineExceeded:
            raise self._full() from None
        self.size += amount

    def _full(self) -> Overloaded:
        return Overloaded(
            "the memory for uploads is full: send the request again later",
            self._admission.retry_after(),
        )

    def shrink(self, amount: int) -> None:
        """Release ``amount`` bytes before the end."""
        self._budget.give(amount)
        self.size -= amount

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._budget.give(self.size)
        self.released()


class AdmittedImage:
    """An admitted image, counted until the end of the ``with`` block.

    A refusal that took a thread's time updates the model's mean time as an answer does.
    """

    def __init__(self, admission: Admission, traffic: ModelTraffic, patient: bool) -> None:
        self._admission = admission
        self._traffic = traffic
        self._patient = patient

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        traffic = self._traffic
        if isinstance(error, Refusal) and error.seconds:
            traffic.seconds += SMOOTHING * (error.seconds - traffic.seconds)
        self._count(-1)
        self._admission.advance()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Do not count the image in the ``with`` block: it waits, but not for a thread."""
        self._count(-1)
        self._traffic.aside += 1
        self._admission.advance()
        try:
            yield
        finally:
            self._traffic.aside -= 1
            self._count(1)

    def _count(self, change: int) -> None:
        self._traffic.images += change
        self._traffic.patient += change * self._patient
