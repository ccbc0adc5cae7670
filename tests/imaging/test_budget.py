"""The memory for decoding: who waits for it, who passes whom, and who leaves the line."""

import asyncio
import math
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import pytest

from greengrocer.context import Context
from greengrocer.errors import ClientDisconnected, DeadlineExceeded, Overloaded
from greengrocer.imaging import budget as budgets
from greengrocer.imaging.budget import (
    FIRST_SECONDS,
    HUNG_SECONDS,
    DecodeBudget,
    MustWait,
    Reservation,
)
from support.waiting import SECONDS, until


class Holder:
    """Holds some of a budget in a thread until released."""

    def __init__(self, budget: DecodeBudget, pool: ThreadPoolExecutor, amount: int) -> None:
        self.context = Context(seconds=SECONDS)
        self.has, self.end = threading.Event(), threading.Event()
        self.done: Future[None] = pool.submit(self._hold, budget, amount)

    def _hold(self, budget: DecodeBudget, amount: int) -> None:
        with budget.reserve(amount, self.context):
            self.has.set()
            assert self.end.wait(SECONDS)

    def let_go(self) -> None:
        self.end.set()
        self.done.result(SECONDS)


@pytest.fixture
def told() -> list[int]:
    return []


@pytest.fixture
def budget(told: list[int]) -> DecodeBudget:
    return DecodeBudget(100, told.append)


Hold = Callable[[int], Holder]


@pytest.fixture
def hold(budget: DecodeBudget) -> Hold:
    pool = ThreadPoolExecutor(8)
    return lambda amount: Holder(budget, pool, amount)


def test_memory_that_fits_is_reserved_at_once_and_released(
    budget: DecodeBudget, told: list[int], hold: Hold
) -> None:
    first, second = hold(60), hold(40)
    assert first.has.wait(SECONDS)
    assert second.has.wait(SECONDS)
    first.let_go()
    second.let_go()
    assert budget.used == 0
    assert max(told) == 100
    assert told[-1] == 0


def test_small_images_pass_those_who_wait_while_a_large_one_has_memory(
    budget: DecodeBudget, hold: Hold
) -> None:
    first = hold(90)
    assert first.has.wait(SECONDS)
    large = hold(80)
    assert until(lambda: budget.waiting == 1)
    small = hold(12)
    assert until(lambda: budget.waiting == 2)
    smaller = hold(10)
    assert smaller.has.wait(SECONDS)
    assert not small.has.is_set()
    smaller.let_go()
    first.let_go()
    assert small.has.wait(SECONDS)
    assert large.has.wait(SECONDS)
    small.let_go()
    large.let_go()


def test_no_large_image_passes_another(budget: DecodeBudget, hold: Hold) -> None:
    first = hold(60)
    assert first.has.wait(SECONDS)
    large = hold(80)
    assert until(lambda: budget.waiting == 1)
    other = hold(30)
    assert until(lambda: budget.waiting == 2)
    assert not other.has.is_set()
    first.let_go()
    assert large.has.wait(SECONDS)
    large.let_go()
    assert other.has.wait(SECONDS)
    other.let_go()


def test_after_a_large_image_the_small_ones_come_before_the_next_large_one() -> None:
    budget = DecodeBudget(100)
    order: list[str] = []
    first = budget.reserve(95, Context())
    with first:
        for name, amount in (("large", 95), ("small", 12), ("other", 12)):
            waiting = put_in_line(budget, without_thread(), amount)
            waiting.wake = partial(order.append, name)
        assert order == []
    assert order == ["small", "other"]


def test_nobody_delays_a_large_image_that_waits_for_small_ones(
    budget: DecodeBudget, hold: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budgets, "OLD_SECONDS", math.inf)
    small = [hold(10) for _ in range(3)]
    for each in small:
        assert each.has.wait(SECONDS)
    large = hold(80)
    assert until(lambda: budget.waiting == 1)
    beside = [hold(8), hold(12)]
    for each in beside:
        assert each.has.wait(SECONDS), "there is room for it beside the large one"
    last = hold(1)
    assert until(lambda: budget.waiting == 2)
    assert not last.has.is_set()
    for each in small:
        each.let_go()
    assert large.has.wait(SECONDS)
    for each in (large, *beside, last):
        each.let_go()
    assert budget.used == 0


def test_small_images_do_not_delay_a_large_one_that_fits_beside_another() -> None:
    budget = DecodeBudget(100, large_at_once=3)
    small = [budget.reserve(10, Context()) for _ in range(6)]
    with budget.reserve(20, Context()):
        for each in small:
            assert budget.enter(each)
        waiting = put_in_line(budget, without_thread(), 70)
        passing = [budget.reserve(10, Context()) for _ in range(2)]
        assert [budget.enter(each) for each in passing] == [True, False]
        for each in small:
            each.release()
        assert waiting.held
        for each in (waiting, *passing):
            each.release()
    assert (budget.used, budget.waiting) == (0, 0)


def test_small_images_do_not_delay_one_beside_those_that_keep_their_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(budgets, "OLD_SECONDS", -1.0)  # all do
    budget = DecodeBudget(100)
    leaving, staying = (budget.reserve(10, Context()) for _ in range(2))
    with staying:
        assert budget.enter(leaving)
        filling = [budget.reserve(10, Context()) for _ in range(3)]
        for each in filling:
            assert budget.enter(each)
        waiting = put_in_line(budget, without_thread(), 60)
        passing = budget.reserve(10, Context())
        assert not budget.enter(passing), "it would delay the one that waits"
        for each in (leaving, *filling):
            each.release()
        assert waiting.held
        for each in (waiting, passing):
            each.release()
    assert (budget.used, budget.waiting) == (0, 0)


def test_small_images_pass_one_that_waits_for_an_image_that_hangs() -> None:
    budget = DecodeBudget(100)
    hung, beside, late = (budget.reserve(amount, Context()) for amount in (12, 8, 8))
    with hung:
        waiting = put_in_line(budget, without_thread(), 93)
        assert not budget.enter(late), "it would delay the first one"
        late.release()
        hung.since -= HUNG_SECONDS
        assert budget.enter(beside)
    assert not budget.enter(late), "it would delay the first one by now"
    beside.release()
    assert waiting.held
    for each in (waiting, late):
        each.release()
    assert (budget.used, budget.waiting) == (0, 0)


def test_an_image_that_has_its_memory_is_not_refused() -> None:
    budget = DecodeBudget(100, wait_seconds=0.0)
    first, context = budget.reserve(60, Context()), without_thread()
    second = budget.reserve(80, context)
    assert budget.enter(first)
    assert not budget.enter(second)
    first.release()  # by another thread
    budget.check_wait(second)
    assert second.held
    second.release()


def test_so_many_large_images_have_memory_at_once() -> None:
    budget = DecodeBudget(100, large_at_once=1)
    pool = ThreadPoolExecutor(3)
    first, second = (Holder(budget, pool, 20) for _ in range(2))
    until(lambda: first.has.is_set() or second.has.is_set())
    small = Holder(budget, pool, 10)
    assert small.has.wait(SECONDS)
    assert budget.used == 30
    for each in (first, second, small) if first.has.is_set() else (second, first, small):
        assert each.has.wait(SECONDS)
        each.let_go()
    assert budget.used == 0


def without_thread() -> Context:
    context = Context(seconds=SECONDS)
    context.waits_in_thread = False
    return context


def put_in_line(budget: DecodeBudget, context: Context, amount: int = 80) -> Reservation:
    """What an image waits for without a thread."""
    with pytest.raises(MustWait) as wait, budget.reserve(amount, context):
        pass
    return wait.value.reservation


def test_an_image_that_gives_its_thread_back_gets_its_memory_later(
    budget: DecodeBudget, hold: Hold
) -> None:
    first, context = hold(60), without_thread()
    assert first.has.wait(SECONDS)
    memory = put_in_line(budget, context)
    first.let_go()
    asyncio.run(memory.wait())
    assert budget.used == 80
    context.reservation = memory
    with budget.reserve(80, context):
        assert budget.used == 80
    assert (budget.used, budget.waiting) == (0, 0)


def test_an_image_that_is_cancelled_while_it_has_no_thread_leaves_the_line(
    budget: DecodeBudget, hold: Hold
) -> None:
    first, context = hold(60), without_thread()
    assert first.has.wait(SECONDS)
    put_in_line(budget, context)
    assert budget.waiting == 1
    context.cancel()
    assert budget.waiting == 0
    cancelled = without_thread()
    cancelled.cancel()
    put_in_line(budget, cancelled)
    assert budget.waiting == 0
    first.let_go()
    assert budget.used == 0


def test_memory_that_was_granted_is_abandoned_unless_a_thread_uses_it(
    budget: DecodeBudget, hold: Hold
) -> None:
    first, context = hold(60), without_thread()
    assert first.has.wait(SECONDS)
    memory = put_in_line(budget, context)
    first.let_go()
    context.reservation = memory
    with budget.reserve(80, context):
        memory.abandon()
        assert budget.used == 80
    memory.abandon()
    assert budget.used == 0


@pytest.mark.parametrize(
    ("held", "amount", "seconds"),
    [(20, 80, 2.0), (90, 12, 0.9)],
    ids=["a large one, for the two before it", "a small one, for the one that has memory"],
)
def test_an_image_that_would_wait_for_too_long_is_refused(
    held: int, amount: int, seconds: float
) -> None:
    budget = DecodeBudget(100, large_at_once=1, wait_seconds=0.8 * seconds)
    with budget.reserve(held, Context()):
        patient = without_thread()
        patient.patient = True
        first = put_in_line(budget, patient)
        with (
            pytest.raises(Overloaded, match=r"would wait \d") as refused,
            budget.reserve(amount, without_thread()),
        ):
            pass
        assert refused.value.retry_after == math.ceil(seconds)
        assert budget.waiting == 1
        first.abandon()
    assert (budget.used, budget.waiting) == (0, 0)


def test_a_large_image_does_not_wait_for_large_ones_that_are_not_there() -> None:
    budget = DecodeBudget(100, large_at_once=1, wait_seconds=0.5 * FIRST_SECONDS[True])
    with budget.reserve(12, Context()), budget.reserve(12, Context()):
        put_in_line(budget, without_thread()).abandon()


def test_memory_that_is_too_little_by_now_is_waited_for_again(budget: DecodeBudget) -> None:
    context = without_thread()
    with budget.reserve(95, Context()):
        context.reservation = put_in_line(budget, context, 10)
    assert budget.used == 10
    with budget.reserve(60, context):
        assert budget.used == 60
    assert budget.used == 0


def test_an_image_over_the_whole_budget_takes_all_of_it(budget: DecodeBudget, hold: Hold) -> None:
    large = hold(1000)
    assert large.has.wait(SECONDS)
    assert budget.used == 100
    large.let_go()


def test_a_cancelled_wait_lets_the_next_one_in(budget: DecodeBudget, hold: Hold) -> None:
    first = hold(60)
    assert first.has.wait(SECONDS)
    large = hold(80)
    assert until(lambda: budget.waiting == 1)
    small = hold(40)
    assert until(lambda: budget.waiting == 2)
    large.context.cancel()
    with pytest.raises(ClientDisconnected):
        large.done.result(SECONDS)
    assert small.has.wait(SECONDS)
    first.let_go()
    small.let_go()
    assert budget.used == 0


def test_a_deadline_ends_the_wait(budget: DecodeBudget, hold: Hold) -> None:
    first = hold(60)
    assert first.has.wait(SECONDS)
    with (
        pytest.raises(DeadlineExceeded),
        budget.reserve(80, Context(seconds=0.02)),
    ):
        pass
    assert budget.waiting == 0
    first.let_go()


def test_a_failure_releases_its_memory(budget: DecodeBudget) -> None:
    with pytest.raises(ZeroDivisionError), budget.reserve(80, Context()):
        raise ZeroDivisionError
    assert budget.used == 0
