import math

import pytest

from greengrocer.context import Context
from greengrocer.errors import ClientDisconnected, DeadlineExceeded
from support.clocks import SettableClock


def test_the_deadline_comes_when_the_clock_says_so() -> None:
    clock = SettableClock()
    context = Context("id", seconds=10, clock=clock)
    clock.now += 9.5
    context.check()
    assert context.remaining() == 0.5
    clock.now += 0.5
    with pytest.raises(DeadlineExceeded):
        context.check()
    clock.now += 1
    assert context.remaining() == -1


def test_without_seconds_there_is_no_deadline() -> None:
    clock = SettableClock()
    context = Context(clock=clock)
    clock.now += 1e12
    context.check()
    assert context.remaining() == math.inf


def test_a_cancelled_context_says_that_the_client_has_gone() -> None:
    context = Context("id", seconds=10, clock=SettableClock())
    context.cancel()
    with pytest.raises(ClientDisconnected):
        context.check()


def test_departure_is_told_before_the_deadline() -> None:
    context = Context("id", seconds=0, clock=SettableClock())
    context.cancel()
    with pytest.raises(ClientDisconnected):
        context.check()
