"""The memory budget for decoding is first come, first served; cancelled waits leave it."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from greengrocer.context import Context
from greengrocer.errors import ClientDisconnected, DeadlineExceeded
from greengrocer.imaging.budget import DecodeBudget
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


def test_a_small_image_does_not_overtake_a_large_one(budget: DecodeBudget, hold: Hold) -> None:
    first = hold(60)
    assert first.has.wait(SECONDS)
    large = hold(80)
    assert until(lambda: budget.waiting == 1)
    small = hold(10)
    assert until(lambda: budget.waiting == 2)
    assert not small.has.is_set()
    first.let_go()
    assert large.has.wait(SECONDS)
    assert small.has.wait(SECONDS)
    large.let_go()
    small.let_go()


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
