"""A wait for memory without a thread ends with its deadline, its client, or its turn."""

import asyncio

import pytest

from greengrocer.context import Context
from greengrocer.errors import DeadlineExceeded
from greengrocer.imaging.budget import DecodeBudget
from greengrocer.serving.admission import Admission, AdmissionLimits
from greengrocer.serving.memory_turns import in_turn
from support.waiting import SECONDS


async def used(budget: DecodeBudget, context: Context) -> int:
    """The bytes in use while an image has 80 of 100."""

    async def work() -> int:
        with budget.reserve(80, context):
            return budget.used

    return await in_turn(work, context)


def test_an_image_has_its_turn_when_another_leaves() -> None:
    async def test() -> None:
        budget, admission = DecodeBudget(100), Admission(AdmissionLimits(1000, 3.0), 1, 0.01)
        context = Context(seconds=SECONDS)
        first = budget.reserve(60, Context())
        with first, await admission.admit_in_turn(context):
            waiting = asyncio.ensure_future(used(budget, context))
            await asyncio.sleep(0)  # it begins
            assert budget.waiting == 1
            assert admission.pictures == 0, "it waits for a thread as well"
            first.release()
            assert await waiting == 80
            assert admission.pictures == 1
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


def test_a_client_that_goes_leaves_the_line() -> None:
    async def test() -> None:
        budget = DecodeBudget(100)
        with budget.reserve(60, Context()):
            waiting = asyncio.ensure_future(used(budget, Context(seconds=SECONDS)))
            await asyncio.sleep(0)  # it begins
            assert budget.waiting == 1
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert budget.waiting == 0
        assert budget.used == 0

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
            waiting = asyncio.ensure_future(in_turn(work, context))
            await asyncio.sleep(0)  # it begins
            assert budget.waiting == 1
            first.release()
            with pytest.raises(KeyError):
                await waiting
        assert (budget.used, budget.waiting) == (0, 0)

    asyncio.run(test())
