import math

import pytest

from greengrocer.context import Context
from greengrocer.errors import ClientDisconnected, DeadlineExceeded
from support.clocks import SettableClock


def test_the_deadline_passes_by_the_clock() -> None:
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


def test_a_cancelled_context_reports_a_disconnected_client() -> None:
    context = Context("id", seconds=10, clock=SettableClock())
    context.cancel()
    with pytest.raises(ClientDisconnected):
        context.check()


def test_a_disconnect_is_reported_before_the_deadline() -> None:
    context = Context("id", seconds=0, clock=SettableClock())
    context.cancel()
    with pytest.raises(ClientDisconnected):
        context.check()
