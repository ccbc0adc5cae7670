from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greengrocer.engines.batcher import BatchLimits, Turn, next_turn

NOW = 100.0
times = st.integers(-20, 20).map(lambda quarters: NOW + quarters / 4)


class Picture(NamedTuple):
    name: int
    arrived: float
    deadline: float = NOW + 60
    cancelled: bool = False


@st.composite
def queues(draw: st.DrawFn) -> list[Picture]:
    """Images that have come by now, the oldest first."""
    count = draw(st.integers(0, 12))
    arrivals = sorted(min(draw(times), NOW) for _ in range(count))
    deadlines = st.one_of(times, st.just(float("inf")))
    return [
        Picture(name, arrived, draw(deadlines), draw(st.booleans()))
        for name, arrived in enumerate(arrivals)
    ]


all_limits = st.builds(BatchLimits, st.integers(1, 8), st.integers(0, 12).map(lambda n: n / 4))


def in_vain(picture: Picture, now: float = NOW) -> bool:
    return picture.cancelled or picture.deadline <= now


@given(queues(), all_limits)
def test_nothing_is_lost_or_doubled_and_every_part_keeps_the_order(
    queue: list[Picture], limits: BatchLimits
) -> None:
    turn = next_turn(queue, limits, NOW)
    parts = (turn.take, turn.drop, turn.keep)
    assert sorted(picture for part in parts for picture in part) == queue
    assert all(part == sorted(part) for part in parts)
    assert not turn.keep or turn.take <= turn.keep, "a younger image overtook an older one"


@given(queues(), all_limits)
def test_what_is_in_vain_is_dropped_and_nothing_else(
    queue: list[Picture], limits: BatchLimits
) -> None:
    assert next_turn(queue, limits, NOW).drop == [picture for picture in queue if in_vain(picture)]


@given(queues(), all_limits)
def test_a_batch_is_as_large_as_the_queue_and_the_limit_allow(
    queue: list[Picture], limits: BatchLimits
) -> None:
    turn = next_turn(queue, limits, NOW)
    if turn.take:
        alive = len(queue) - len(turn.drop)
        assert len(turn.take) == min(alive, limits.largest)


@given(queues(), st.integers(1, 8))
def test_without_a_wait_whatever_can_run_runs_now(queue: list[Picture], largest: int) -> None:
    turn = next_turn(queue, BatchLimits(largest), NOW)
    assert turn.take or not turn.keep
    assert turn.look_again is None


@given(queues(), all_limits)
def test_nobody_waits_longer_than_the_limit_or_into_the_own_deadline(
    queue: list[Picture], limits: BatchLimits
) -> None:
    turn = next_turn(queue, limits, NOW)
    if turn.take or not turn.keep:
        assert turn.look_again is None
        return
    assert turn.look_again is not None
    assert len(turn.keep) < limits.largest
    assert NOW < turn.look_again == turn.keep[0].arrived + limits.wait
    assert not any(in_vain(picture, turn.look_again) for picture in turn.keep)
    assert next_turn(turn.keep, limits, turn.look_again).take == turn.keep


@pytest.mark.parametrize(
    ("queue", "turn"),
    [
        ([], Turn([], [], [], None)),
        ([Picture(1, 99.5)], Turn([], [], [Picture(1, 99.5)], 100.5)),
        ([Picture(1, 99)], Turn([Picture(1, 99)], [], [], None)),
        ([Picture(1, 99.5, 100.25)], Turn([Picture(1, 99.5, 100.25)], [], [], None)),
    ],
    ids=["nothing there", "one waits", "has waited", "its deadline is near"],
)
def test_a_wait_in_examples(queue: list[Picture], turn: Turn[Picture]) -> None:
    assert next_turn(queue, BatchLimits(8, 1.0), NOW) == turn
