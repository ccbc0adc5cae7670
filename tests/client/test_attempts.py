"""When a call is attempted again: by the clock and the chance that a test gives."""

import pytest

from greengrocer_client import (
    ClientError,
    DeadlineExceeded,
    ImageRefused,
    NotReady,
    Overloaded,
    Problem,
    RateLimited,
    Unauthorized,
    UnexpectedAnswer,
    Unreachable,
)
from greengrocer_client.attempts import Attempts
from support.clocks import SettableClock

PROBLEM = Problem("code", 400, "A title", "a detail")


def attempts(
    most: int = 4, seconds: float = 30, chance: float = 0
) -> tuple[Attempts, SettableClock]:
    clock = SettableClock()
    return Attempts(most, seconds, clock, lambda: chance), clock


@pytest.mark.parametrize(
    ("chance", "least", "longest"), [(0, 4, 4), (0.5, 4, 5), (1, 4, 6)], ids=["0", "half", "1"]
)
def test_a_wait_is_what_retry_after_says_or_longer(
    chance: float, least: float, longest: float
) -> None:
    for kind in (Overloaded, RateLimited, NotReady):
        made, _ = attempts(chance=chance)
        made.begin()
        assert least <= made.wait_after(kind(PROBLEM, 4.0)) == longest


def test_without_retry_after_it_is_a_second() -> None:
    made, _ = attempts()
    made.begin()
    assert made.wait_after(NotReady(PROBLEM)) == 1


def test_waits_for_a_lost_connection_double() -> None:
    made, _ = attempts(most=5)
    waits = []
    for _ in range(4):
        made.begin()
        waits.append(made.wait_after(Unreachable("gone")))
    assert waits == [0.25, 0.5, 1, 2]


def test_the_attempts_have_a_number() -> None:
    made, _ = attempts(most=2)
    made.begin()
    made.wait_after(Overloaded(PROBLEM, 1.0))
    made.begin()
    with pytest.raises(Overloaded):
        made.wait_after(Overloaded(PROBLEM, 1.0))


def test_nobody_waits_for_what_comes_behind_the_deadline() -> None:
    made, clock = attempts(seconds=10)
    assert made.begin() == 10
    clock.now += 5
    assert made.wait_after(Overloaded(PROBLEM, 4.9)) == 4.9
    with pytest.raises(Overloaded):
        made.wait_after(Overloaded(PROBLEM, 5.0))


def test_no_attempt_begins_behind_the_deadline() -> None:
    made, clock = attempts(seconds=2)
    clock.now += 1.5
    assert made.begin() == 0.5
    clock.now += 0.5
    with pytest.raises(DeadlineExceeded, match="within 2 s"):
        made.begin()


@pytest.mark.parametrize(
    "error",
    [
        *(kind(PROBLEM, 1.0) for kind in (ImageRefused, Unauthorized, DeadlineExceeded)),
        UnexpectedAnswer("no JSON"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_would_fail_again_is_not_attempted_again(error: ClientError) -> None:
    made, _ = attempts()
    made.begin()
    with pytest.raises(type(error)):
        made.wait_after(error)
