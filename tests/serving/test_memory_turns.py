"""A wait for memory without a thread ends with its deadline, its client, or its turn."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from greengrocer.context import Context
from greengrocer.errors import ClientDisconnected, DeadlineExceeded
from greengrocer.imaging.budget import DecodeBudget, Reservation
from greengrocer.serving.admission import Admission, AdmissionLimits
from greengrocer.serving.memory_turns import in_turn
from support.waiting import SECONDS

T = TypeVar("T")


async def used(budget: DecodeBudget, context: Context, amount: int = 80) -> int:
    """The bytes in use while an image has so many of 100."""

    async def work() -> int:
        with budget.reserve(amount, context):
            return budget.used

    return await in_turn(work, context)


async def begun(work: Coroutine[Any, Any, T], budget: DecodeBudget) -> "asyncio.Task[T]":
    """``work``, which waits for memory by now."""
    task = asyncio.ensure_future(work)
    await asyncio.sleep(0)
    assert budget.waiting == 1
    return task


@pytest.mark.parametrize(("amount", "in_queue"), [(80, False), (10, True)], ids=["large", "small"])
def test_an_image_has_its_turn_when_another_leaves(amount: int, in_queue: bool) -> None:
    async def test() -> None:
        budget, admission = DecodeBudget(100), Admission(AdmissionLimits(1000, 3.0), 1, 0.01)
        context = Context(seconds=SECONDS)
        first = budget.reserve(95, Context())
        with first, await admission.admit_in_turn(context):
            waiting = await begun(used(budget, context, amount), budget)
            assert (admission.expected_wait() > 0) == in_queue
            assert admission.pictures == 1
            first.release()
            assert await waiting == amount
            assert admission.expected_wait() > 0
        assert (budget.used, budget.waiting, admission.pictures) == (0, 0, 0)

    asyncio.run(test())


def test_a_deadline_ends_the_wait() -> None:
    async def test() -> None:
        budget = DecodeBudget(100)
        with budget.reserve(60, Context()):
            with pytest.raises(DeadlineExceeded, match="memory"):
                await used(budget, Context(seconds=0.05))
            assert budget.waiting == 0
        assert budget.used == 0

    asyncio.run(test())


def test_a_client_that_goes_ends_the_wait() -> None:
    async def test() -> None:
        budget, context = DecodeBudget(100), Context()
        with budget.reserve(60, Context()):
            waiting = await begun(used(budget, context), budget)
            context.cancel()
            with pytest.raises(ClientDisconnected):
                await waiting
            assert budget.waiting == 0
        assert budget.used == 0

    asyncio.run(asyncio.wait_for(test(), SECONDS))


def test_a_task_that_is_cancelled_leaves_the_line() -> None:
    async def test() -> None:
        budget = DecodeBudget(100)
        with budget.reserve(60, Context()):
            waiting = await begun(used(budget, Context(seconds=SECONDS)), budget)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert budget.waiting == 0
        assert budget.used == 0

    asyncio.run(test())


def test_memory_that_was_granted_and_left_is_waited_for_again() -> None:
    async def test() -> None:
        budget, context = DecodeBudget(100), Context(seconds=SECONDS)
        first, second = budget.reserve(60, Context()), budget.reserve(60, Context())
        calls, again = 0, asyncio.Event()

        async def work() -> int:
            nonlocal calls
            calls += 1
            if calls == 2:  # as where the client goes between the grant and the thread
                assert isinstance(context.reservation, Reservation)
                context.reservation.abandon()
                second.__enter__()
                again.set()
            with budget.reserve(80, context):
                return budget.used

        first.__enter__()
        waiting = asyncio.ensure_future(in_turn(work, context))
        await asyncio.sleep(0)  # it begins
        first.release()
        await again.wait()
        second.release()
        assert await waiting == 80
        assert (budget.used, budget.waiting, calls) == (0, 0, 3)

    asyncio.run(test())


def test_a_model_that_is_unloaded_meanwhile_is_counted_until_its_image_ends() -> None:
    async def test() -> None:
        admission = Admission(AdmissionLimits(1000, 3.0), 1, 0.01)
        context = Context(seconds=SECONDS)
        with await admission.admit_in_turn(context, "shop"):
            with context.aside():
                admission.forget("shop")
                assert "shop" in admission.paces
            assert admission.pictures == 1
        assert "shop" not in admission.paces

    asyncio.run(test())


def test_memory_is_given_back_where_the_work_does_not_take_it() -> None:
    async def test() -> None:
        budget, context = DecodeBudget(100), Context(seconds=SECONDS)
        asked: list[bool] = []

        async def work() -> None:
            if asked:
                raise KeyError("the model has gone meanwhile")
            asked.append(True)
            with budget.reserve(80, context):
                pass

        first = budget.reserve(60, Context())
        with first:
            waiting = await begun(in_turn(work, context), budget)
            first.release()
            with pytest.raises(KeyError):
                await waiting
        assert (budget.used, budget.waiting) == (0, 0)

    asyncio.run(test())
