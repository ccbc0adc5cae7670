"""Waiting for admission is first come, first served; disconnected clients leave the queue."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from greengrocer.context import Context
from greengrocer.errors import ClientDisconnected, DeadlineExceeded, Overloaded
from greengrocer.serving.admission import Admission, AdmissionLimits, AdmittedImage
from support.waiting import SECONDS

pytestmark = pytest.mark.anyio

ONE_PLACE = AdmissionLimits(upload_bytes=100, wait_seconds=0)


def patient(seconds: float = SECONDS) -> Context:
    context = Context(seconds=seconds)
    context.patient = True
    return context


@pytest.fixture
def admission() -> Iterator[Admission]:
    """One place; at the end it must be free."""
    admission = Admission(ONE_PLACE, threads=1, service_seconds=1)
    yield admission
    assert admission.pictures == 0
    assert admission.expected_wait() == 0


async def test_waiting_requests_are_admitted_in_order(admission: Admission) -> None:
    order: list[int] = []

    async def come(number: int) -> None:
        with await admission.admit_in_turn(patient()):
            order.append(number)
            with pytest.raises(Overloaded):  # others wait, or this one is there
                admission.admit()
            await asyncio.sleep(0)

    with admission.admit():
        tasks = [asyncio.create_task(come(number)) for number in range(5)]
        await asyncio.sleep(0)
        assert admission.expected_wait() == 1
        assert admission.retry_after() == 6  # behind all who are there and who wait
    with pytest.raises(Overloaded):  # the place is the first one's in line
        admission.admit()
    await asyncio.gather(*tasks)
    assert order == [0, 1, 2, 3, 4]


async def test_a_disconnected_client_leaves_the_queue(admission: Admission) -> None:
    gone, late, cancelled, last = patient(), patient(0.01), patient(), patient()
    with ExitStack() as stack:
        stack.enter_context(admission.admit())
        tasks: list[asyncio.Task[AdmittedImage]] = [
            asyncio.create_task(admission.admit_in_turn(each))
            for each in (gone, late, cancelled, last)
        ]
        await asyncio.sleep(0)
        gone.cancel()
        tasks[2].cancel()
        for task, error in zip(
            tasks, (ClientDisconnected, DeadlineExceeded, asyncio.CancelledError), strict=False
        ):
            with pytest.raises(error):
                await task
        assert admission.retry_after() == 2
    with await tasks[3]:
        assert admission.pictures == 1


async def test_a_place_given_to_a_cancelled_wait_goes_to_the_next(admission: Admission) -> None:
    with admission.admit():
        first = asyncio.create_task(admission.admit_in_turn(patient()))
        second = asyncio.create_task(admission.admit_in_turn(patient()))
        await asyncio.sleep(0)
    first.cancel()  # it has a place, and does not know it yet
    with pytest.raises(asyncio.CancelledError):
        await first
    with await second:
        assert admission.pictures == 1


async def test_a_faster_pace_admits_waiting_requests(admission: Admission) -> None:
    admission.limits = AdmissionLimits(100, wait_seconds=0.9)
    with admission.admit():
        waiting = asyncio.create_task(admission.admit_in_turn(patient()))
        await asyncio.sleep(0)
        for _ in range(10):
            admission.served(0)
        with await waiting:
            assert admission.pictures == 2


async def test_waiting_for_bytes_is_in_order_too(admission: Admission) -> None:
    with admission.reserve_bytes() as first, admission.reserve_bytes() as second:
        first.grow(80)
        waiting = asyncio.create_task(second.grow_in_turn(50, Context(seconds=SECONDS)))
        await asyncio.sleep(0)
        with (
            admission.reserve_bytes() as third,
            pytest.raises(Overloaded, match="for uploads"),
        ):
            third.grow(10)
        first.shrink(40)
        await waiting
        assert second.size == 50
        with pytest.raises(Overloaded, match="for uploads"):
            await second.grow_in_turn(50, Context(seconds=0.01))


async def test_a_finished_answer_does_not_wait_behind_uploads(admission: Admission) -> None:
    with admission.reserve_bytes() as held, admission.reserve_bytes() as waiting:
        held.grow(60)
        task = asyncio.create_task(waiting.grow_in_turn(50, patient()))
        await asyncio.sleep(0)
        with admission.reserve_bytes() as upload, pytest.raises(Overloaded):
            upload.grow(1)
        with admission.reserve_bytes() as answer:
            answer.hold(40)
            with pytest.raises(Overloaded):
                answer.hold(1)
        held.shrink(60)
        await task
        assert waiting.size == 50


async def test_waiting_images_fill_at_most_half_of_the_queue() -> None:
    admission = Admission(AdmissionLimits(100, wait_seconds=8), threads=1, service_seconds=1)
    tasks = [asyncio.create_task(admission.admit_in_turn(patient())) for _ in range(20)]
    await asyncio.sleep(0)
    assert admission.pictures == 5  # twice as many would wait for as long as is allowed
    singles = [admission.admit() for _ in range(4)]
    with pytest.raises(Overloaded):
        admission.admit()
    with singles.pop():
        pass
    assert admission.pictures == 8  # a place of single images stays theirs
    with await tasks[0]:
        pass
    assert admission.pictures == 8  # and that of one who waited goes to the next in line
    await tasks[5]
    for task in tasks[6:]:
        task.cancel()


async def test_those_who_wait_for_a_model_over_its_share_let_others_pass() -> None:
    admission = Admission(AdmissionLimits(100, 2, shares={"shop": 0.5}), 1, 1.0)
    shop = [admission.admit("shop") for _ in range(2)]
    waiting = asyncio.create_task(admission.admit_in_turn(patient(), "shop"))
    await asyncio.sleep(0)
    assert not waiting.done()
    other = await asyncio.wait_for(admission.admit_in_turn(patient(), "grocery"), SECONDS)
    shop.pop().__exit__(None, None, None)
    with await asyncio.wait_for(waiting, SECONDS):
        assert admission.pictures == 3
    for image in (*shop, other):
        image.__exit__(None, None, None)
    assert admission.pictures == 0
