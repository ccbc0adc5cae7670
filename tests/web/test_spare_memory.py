"""The memory of large bodies serves the next ones, unless something still reads it."""

import pytest

from greengrocer.errors import MalformedUpload
from greengrocer.web.body.form import Form
from greengrocer.web.receive_buffer import LARGEST, ReceiveBuffer
from greengrocer.web.spare_memory import LARGE, MOST, SpareMemory
from support.forms import form, part

SECRET = b"another client's image"
DECLARED = 20_000_000


def receive(buffer: ReceiveBuffer, data: bytes) -> None:
    """Receive all of ``data`` as from a socket."""
    left = memoryview(data)
    while left:
        room = buffer.room(DECLARED)
        count = min(len(room), len(left))
        room[:count] = left[:count]
        room.release()
        buffer.received(count)
        left = left[count:]


def buffer_with(spare: SpareMemory, data: bytes = b"") -> ReceiveBuffer:
    """A buffer that uses ``spare`` and has received ``data``."""
    buffer = ReceiveBuffer()
    buffer.spare = spare
    receive(buffer, data)
    return buffer


def left_behind(data: bytes) -> SpareMemory:
    """The memory of a body of ``data``, which is over."""
    spare = SpareMemory()
    buffer_with(spare, data).recycle()
    return spare


def test_a_large_body_has_the_memory_of_one_before() -> None:
    first = buffer_with(SpareMemory(), bytes(2 * LARGE))
    memory, spare = first.data, first.spare
    first.recycle()
    assert spare is not None
    assert spare
    data = bytes(range(256)) * 5000
    second = buffer_with(spare, data)
    assert second.data is memory
    assert not spare
    assert bytes(second.view()) == data
    assert second.whole() == data


def test_a_body_never_shows_another_ones_bytes() -> None:
    spare = left_behind(SECRET * (2 * LARGE // len(SECRET)))
    assert spare
    buffer = buffer_with(spare, bytes(LARGEST + 1))
    buffer.append(b"end")
    assert SECRET in buffer.data  # behind what has come
    assert SECRET not in bytes(buffer.view())
    buffer.drop(10)
    assert SECRET not in bytes(buffer.view(0, LARGE))
    assert SECRET not in buffer.whole()


def test_a_form_never_ends_with_another_ones_boundary() -> None:
    body = form(part(bytes(2 * LARGE)))
    spare = left_behind(b"\r\n" + body)
    assert spare
    parsed = Form(body[2 : body.index(b"\r\n")].decode(), 1, lambda _: None)
    parsed.buffer.spare = spare
    receive(parsed.buffer, body[: LARGEST + 1000])
    parsed.read()
    with pytest.raises(MalformedUpload, match="ends before its last boundary"):
        parsed.close()


def test_memory_that_is_still_read_is_not_given_to_another() -> None:
    spare = SpareMemory()
    buffer = buffer_with(spare, SECRET.ljust(2 * LARGE))
    view = buffer.view(0, len(SECRET))
    buffer.recycle()
    assert not spare
    assert bytes(view) == SECRET


def test_small_blocks_and_more_than_the_bound_are_not_kept() -> None:
    spare = SpareMemory()
    buffer_with(spare, bytes(LARGE // 2)).recycle()
    assert not spare
    for _ in range(20):
        spare.keep(bytearray(MOST // 4))
    assert MOST // 2 < len(spare) <= MOST
    spare.clear()
    assert not spare
