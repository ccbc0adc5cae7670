from contextlib import ExitStack, suppress

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from greengrocer.errors import DeadlineExceeded, Overloaded, Refusal, UnreadableImage
from greengrocer.serving.admission import Admission, AdmissionLimits
from greengrocer.serving.budget import Budget

LIMITS = AdmissionLimits(upload_bytes=100, wait_seconds=3)


def admission(threads: int = 2, service_seconds: float = 1.0) -> Admission:
    return Admission(LIMITS, threads, service_seconds)


def used(admission: Admission) -> tuple[int, int]:
    """Bytes and images in flight."""
    return admission.bytes_in_flight, admission.pictures


class Traffic(RuleBasedStateMachine):
    """Uploads grow, images come in and leave, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.admission = admission()
        self.pictures: list[ExitStack] = []
        self.uploads: list[tuple[ExitStack, int]] = []

    @rule()
    def come(self) -> None:
        stack = ExitStack()
        try:
            stack.enter_context(self.admission.admit())
        except Overloaded as refusal:
            assert refusal.retry_after >= 1  # noqa: PT017 - either outcome is allowed
        else:
            self.pictures.append(stack)

    @rule(amounts=st.lists(st.integers(0, 60), max_size=4))
    def upload(self, amounts: list[int]) -> None:
        stack, size = ExitStack(), 0
        receipt = stack.enter_context(self.admission.reserve_bytes())
        try:
            for amount in amounts:
                receipt.grow(amount)
                size += amount
        except Overloaded:
            stack.close()
        else:
            self.uploads.append((stack, size))

    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        stacks = [*self.pictures, *(stack for stack, _ in self.uploads)]
        if stacks:
            gone = stacks[data.draw(st.integers(0, len(stacks) - 1))]
            gone.close()
            self.pictures = [stack for stack in self.pictures if stack is not gone]
            self.uploads = [each for each in self.uploads if each[0] is not gone]

    @rule(seconds=st.floats(0, 100))
    def serve(self, seconds: float) -> None:
        self.admission.served(seconds)
        assert 0 <= self.admission.service_seconds <= 100

    @invariant()
    def what_is_counted_is_what_is_held(self) -> None:
        assert used(self.admission) == (
            sum(size for _, size in self.uploads),
            len(self.pictures),
        )

    @invariant()
    def nothing_is_above_its_capacity(self) -> None:
        size, _ = used(self.admission)
        assert 0 <= size <= LIMITS.upload_bytes


TestTraffic = Traffic.TestCase


def test_a_budget_reserves_all_or_nothing() -> None:
    budget = Budget(10)
    assert budget.take(10)
    assert not budget.take(1)
    assert budget.used == 10
    budget.give(10)
    assert budget.take(1)


def test_retry_after_grows_with_what_is_in_flight() -> None:
    busy = admission(threads=2, service_seconds=1.0)
    told = []
    with ExitStack() as stack:
        for _ in range(8):
            told.append(busy.retry_after())
            stack.enter_context(busy.admit())
    assert told == [1, 1, 1, 2, 2, 3, 3, 4]
    assert busy.retry_after() == 1


def test_a_queue_that_is_too_long_is_full() -> None:
    busy = admission(threads=2, service_seconds=2.0)
    with ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(busy.admit())
        assert busy.expected_wait() == 4
        with pytest.raises(Overloaded, match=r"would wait 4\.0 seconds") as refused:
            stack.enter_context(busy.admit())
        assert refused.value.retry_after == 5
        assert busy.pictures == 5


def test_with_a_free_thread_there_is_no_wait() -> None:
    slow = admission(threads=2, service_seconds=1000)
    with slow.admit():
        assert slow.expected_wait() == 0
        with slow.admit():
            assert slow.expected_wait() == 500


def test_a_failure_releases_place_and_bytes() -> None:
    busy = admission()
    with suppress(ZeroDivisionError), busy.reserve_bytes() as receipt, busy.admit():
        receipt.grow(50)
        assert used(busy) == (50, 1)
        raise ZeroDivisionError
    assert used(busy) == (0, 0)


def test_an_upload_over_the_budget_releases_its_bytes() -> None:
    busy = admission()
    with busy.reserve_bytes() as first:
        first.grow(60)
        with busy.reserve_bytes() as second:
            second.grow(40)
            with pytest.raises(Overloaded, match="for uploads"):
                second.grow(1)
            assert used(busy) == (100, 0)
        assert used(busy) == (60, 0)


def test_the_pace_is_learnt_from_answered_images() -> None:
    learning = admission(service_seconds=1.0)
    for _ in range(200):
        learning.served(3.0)
    assert learning.service_seconds == pytest.approx(3, abs=0.01)


@pytest.mark.parametrize(
    ("refusal", "seconds", "learnt"),
    [
        (UnreadableImage("bad"), 3.0, 3),
        (UnreadableImage("bad"), 0, 1),
        (DeadlineExceeded("waited"), 0, 1),
    ],
)
def test_the_pace_is_learnt_from_images_refused_after_work(
    refusal: Refusal, seconds: float, learnt: float
) -> None:
    learning = admission(service_seconds=1.0)
    refusal.seconds = seconds
    for _ in range(200):
        with suppress(Refusal), learning.admit():
            raise refusal
    assert learning.service_seconds == pytest.approx(learnt, abs=0.01)


def test_each_model_is_counted_at_its_own_pace() -> None:
    busy = admission(threads=2, service_seconds=1.0)
    busy.expect("slow", 4.0)
    with ExitStack() as stack:
        for model in ("quick", "quick", "slow", "slow"):
            stack.enter_context(busy.admit(model))
        assert busy.expected_wait() == 3 * 2.5 / 2  # the mean of those who are ahead
        assert busy.retry_after() == 5
        assert busy.service_seconds == 4
    busy.served(9.0, "quick")
    assert busy.expected_wait() == 0
    assert busy.paces["slow"] == 4


def test_a_model_over_its_share_is_refused_while_another_is_admitted() -> None:
    limits = AdmissionLimits(upload_bytes=100, wait_seconds=4, shares={"shop": 0.5})
    busy = Admission(limits, 1, 1.0)
    with ExitStack() as stack:
        for model in ("shop", "shop@next", "shop"):  # a version beside it has no share of its own
            stack.enter_context(busy.admit(model))
        with pytest.raises(Overloaded, match=r"the model shop has used up its share.* 50%"):
            busy.admit("shop")
        for _ in range(2):
            stack.enter_context(busy.admit("grocery"))
        with pytest.raises(Overloaded, match="the queue is full"):
            busy.admit("grocery")


def test_a_model_over_its_share_of_bytes_leaves_the_others_theirs() -> None:
    limits = AdmissionLimits(upload_bytes=100, wait_seconds=4, shares={"shop": 0.25})
    busy = Admission(limits, 1, 1.0)
    with busy.reserve_bytes("shop") as shop, busy.reserve_bytes("grocery") as grocery:
        shop.grow(25)
        with pytest.raises(Overloaded, match="for uploads"):
            shop.grow(1)
        grocery.grow(75)
        with pytest.raises(Overloaded, match="for uploads"):
            grocery.grow(1)
        grocery.shrink(75)
        shop.shrink(5)
        shop.grow(5)
        assert used(busy) == (25, 0)
    assert used(busy) == (0, 0)


def test_a_model_is_forgotten_once_nothing_of_it_is_in_flight() -> None:
    busy = admission(threads=1, service_seconds=1.0)
    busy.expect("slow", 50.0)
    with busy.admit("slow"):
        busy.forget("slow")
        assert busy.pictures == 1
    busy.forget("slow")
    assert busy.service_seconds == 1


def test_a_model_that_was_forgotten_is_gone_after_its_last_image() -> None:
    busy = admission(threads=1, service_seconds=1.0)
    busy.expect("slow", 50.0)
    with busy.admit("quick"), busy.admit("slow"):
        busy.forget("slow")
        busy.served(60.0, "slow")
        assert busy.service_seconds > 50
    assert busy.service_seconds == 1
    assert busy.paces.keys() == {"quick"}


def test_a_model_keeps_its_pace_under_another_key() -> None:
    busy = admission()
    busy.expect("old", 5.0)
    with busy.admit("old"):
        busy.rename("old", "new")
        assert busy.pictures == 1
    assert busy.paces == {"new": 5.0}
