"""Bytes that wait for the parser: where they are cut, and their arrival times."""

import time

import pytest

from greengrocer.web.wire.read_ahead import MAX_TIMES, SAME_READ_SECONDS, ReadAhead


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, as the test sets it."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize("end", [b"\r\n\r\n", b"\n\n", b"\r\n\n", b"\n\r\n"])
def test_a_piece_ends_at_the_first_blank_line(end: bytes) -> None:
    ahead = ReadAhead()
    ahead.add(b"GET / HTTP/1.1" + end + b"GET" + end)
    assert ahead.take(0) == b"GET / HTTP/1.1" + end
    assert ahead.take(0) == b"GET" + end
    assert not len(ahead)


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_a_blank_line_in_two_reads_ends_a_piece(cut: int) -> None:
    ahead = ReadAhead()
    ahead.add(b"GET" + b"\r\n\r\n"[:cut])
    assert ahead.take(0) == b"GET" + b"\r\n\r\n"[:cut]
    ahead.add(b"\r\n\r\n"[cut:] + b"PUT")
    pieces = []
    while len(ahead):
        pieces.append(ahead.take(0))
    assert b"".join(pieces[:-1]) == b"\r\n\r\n"[cut:]
    assert pieces[-1] == b"PUT"


def test_a_body_of_a_known_length_is_not_cut_at_blank_lines() -> None:
    ahead = ReadAhead()
    ahead.add(b"\n\n\n\nGET")
    assert ahead.take(4) == b"\n\n\n\n"
    assert ahead.take(9) == b"GET"


def test_bytes_keep_the_arrival_time_of_their_read(clock: list[float]) -> None:
    ahead = ReadAhead()
    for text in (b"a\n\nb", b"\n\nc\n\n", b"d"):
        ahead.add(text)
        clock[0] += 1
    pieces = []
    while len(ahead):
        pieces.append((bytes(ahead.take(0)), ahead.arrived()))
    assert pieces == [(b"a\n\n", 100), (b"b\n\n", 101), (b"c\n\n", 101), (b"d", 102)]


def test_the_number_of_arrival_times_is_bounded(clock: list[float]) -> None:
    ahead = ReadAhead()
    for _ in range(10 * MAX_TIMES):
        ahead.add(b"\n\n")
        clock[0] += 2 * SAME_READ_SECONDS
    assert len(ahead._times) == MAX_TIMES
    ahead.take(len(ahead))
    assert ahead.arrived() == pytest.approx(100 + (MAX_TIMES - 1) * 2 * SAME_READ_SECONDS)
