"""A body's buffer holds what has come, and gives it out without a copy."""

import tracemalloc
from collections.abc import Iterator

import pytest

from greengrocer.errors import ClientDisconnected
from greengrocer.web.receive_buffer import LARGEST_READ, SMALLEST_READ, ReceiveBuffer, source_of

DECLARED = 20_000_000


def receive(buffer: ReceiveBuffer, data: bytes, most: int) -> int:
    """Receive as a socket does: into the room that there is."""
    room = buffer.room(most)
    count = min(len(room), len(data))
    room[:count] = data[:count]
    buffer.received(count)
    return count


def test_what_comes_in_pieces_is_in_one_piece() -> None:
    data = bytes(range(256)) * 5000
    buffer = ReceiveBuffer(b"start")
    at = 0
    while at < len(data):
        if at % 3:
            at += receive(buffer, data[at : at + 70_001], len(data) - at)
        else:
            buffer.append(data[at : at + 1000])
            at += 1000
    assert len(buffer) == len(data) + 5
    assert bytes(buffer.view()) == b"start" + data
    assert bytes(buffer.view(5, 15)) == data[:10]
    assert buffer.whole() == b"start" + data


def test_a_slow_upload_holds_what_has_come_not_what_was_declared() -> None:
    tracemalloc.start()
    try:
        buffer = ReceiveBuffer()
        for come in (1, 1000, 20_000, 1_000_000, 3_000_000):
            while len(buffer) < come:
                receive(buffer, bytes(min(come - len(buffer), 60_000)), DECLARED - len(buffer))
            held = tracemalloc.get_traced_memory()[0]
            assert held < 1.25 * come + SMALLEST_READ + min(come, LARGEST_READ) + 2000
    finally:
        tracemalloc.stop()


def test_no_more_is_taken_than_is_missing() -> None:
    buffer = ReceiveBuffer()
    assert len(buffer.room(10)) == 10
    assert len(buffer.room(DECLARED)) == SMALLEST_READ
    assert len(ReceiveBuffer(bytes(10_000_000)).room(DECLARED)) == LARGEST_READ


def test_bytes_that_were_read_are_dropped() -> None:
    buffer = ReceiveBuffer(b"head")
    buffer.append(b"body")
    buffer.drop(4)
    buffer.append(b", more")
    assert bytes(buffer.view()) == b"body, more"


def test_a_view_is_read_only_and_copies_nothing() -> None:
    buffer = ReceiveBuffer(bytes(1000))
    view = buffer.view(10)
    assert view.readonly
    buffer.data[10] = 7
    assert view[0] == 7


@pytest.mark.anyio
async def test_the_messages_of_asgi_are_a_source() -> None:
    messages: Iterator[dict[str, object]] = iter(
        [
            {"type": "http.request", "body": b"some", "more_body": True},
            {"type": "http.request"},
            {"type": "http.disconnect"},
        ]
    )

    async def receive_next() -> dict[str, object]:
        return next(messages)

    buffer = ReceiveBuffer()
    source = source_of(receive_next)
    assert await source(buffer) == (4, True)
    assert await source(buffer) == (0, False)
    assert bytes(buffer.view()) == b"some"
    with pytest.raises(ClientDisconnected):
        await source(buffer)
