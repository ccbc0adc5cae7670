"""The memory of large bodies serves the next ones, unless something still reads it."""

import pytest

from greengrocer.errors import MalformedUpload
from greengrocer.serving.memory import LARGE_BLOCK
from greengrocer.web.body.form import Form
from greengrocer.web.receive_buffer import LARGEST_READ, ReceiveBuffer
from greengrocer.web.spare_memory import LARGEST_KEPT, SpareMemory
from support.forms import form, part

SECRET = b"another client's image"
MOST = 3 * LARGEST_KEPT


def receive(buffer: ReceiveBuffer, data: bytes, declared: int) -> None:
    """Receive all of ``data`` as from a socket."""
    left = memoryview(data)
    while left:
        room = buffer.room(declared - len(buffer))
        count = min(len(room), len(left))
        room[:count] = left[:count]
        room.release()
        buffer.received(count)
        left = left[count:]


def buffer_with(spare: SpareMemory, data: bytes, declared: int | None = None) -> ReceiveBuffer:
    """A buffer that uses ``spare`` and has received ``data``."""
    buffer = ReceiveBuffer()
    buffer.spare = spare
    receive(buffer, data, declared or len(data))
    return buffer


def left_behind(*bodies: bytes) -> SpareMemory:
    """The memory of bodies that are over."""
    spare = SpareMemory(MOST)
    for buffer in [buffer_with(spare, data) for data in bodies]:
        buffer.recycle()
    return spare


def test_a_large_body_has_the_memory_of_one_before() -> None:
    first = buffer_with(SpareMemory(MOST), bytes(2 * LARGE_BLOCK))
    memory, spare = first.data, first.spare
    first.recycle()
    assert spare is not None
    for _ in range(3):
        data = bytes(range(256)) * (2 * LARGE_BLOCK // 256)
        buffer = buffer_with(spare, data)
        assert buffer.data is memory
        assert not spare.kept
        assert bytes(buffer.view()) == data
        assert buffer.whole() == data
        buffer.recycle()
        assert spare.kept == 2 * LARGE_BLOCK


def test_a_body_has_the_smallest_memory_that_it_fits_else_the_largest() -> None:
    sizes = [LARGE_BLOCK + 1, 2 * LARGE_BLOCK, 4 * LARGE_BLOCK]
    spare = left_behind(*map(bytes, sizes))
    fitting = buffer_with(spare, bytes(2 * LARGE_BLOCK))
    assert len(fitting.data) == sizes[1]
    longer = buffer_with(spare, bytes(5 * LARGE_BLOCK))
    assert len(longer) == 5 * LARGE_BLOCK
    assert spare.kept == sizes[0]  # a body takes such memory once
    for buffer in (fitting, longer):
        buffer.recycle()
    assert spare.kept == sizes[0] + sizes[1] + 5 * LARGE_BLOCK


def test_a_body_never_shows_another_ones_bytes() -> None:
    spare = left_behind(SECRET * (2 * LARGE_BLOCK // len(SECRET)))
    assert spare.kept
    buffer = buffer_with(spare, bytes(LARGEST_READ + 1), 2 * LARGE_BLOCK)
    buffer.append(b"end")
    assert SECRET in buffer.data  # behind what has come
    assert SECRET not in bytes(buffer.view())
    buffer.drop(10)
    assert SECRET not in bytes(buffer.view(0, LARGE_BLOCK))
    assert SECRET not in buffer.whole()


def test_a_form_never_ends_with_another_ones_boundary() -> None:
    body = form(part(bytes(2 * LARGE_BLOCK)))
    spare = left_behind(b"\r\n" + body)
    assert spare.kept
    parsed = Form(body[2 : body.index(b"\r\n")].decode(), 1, lambda _: None)
    parsed.buffer.spare = spare
    receive(parsed.buffer, body[: LARGEST_READ + 1000], len(body))
    assert not spare.kept
    parsed.read()
    with pytest.raises(MalformedUpload, match="ends before its last boundary"):
        parsed.close()


def test_memory_that_is_still_read_is_not_given_to_another() -> None:
    spare = SpareMemory(MOST)
    buffer = buffer_with(spare, SECRET.ljust(2 * LARGE_BLOCK))
    view = buffer.view(0, len(SECRET))
    buffer.recycle()
    assert not spare.kept
    assert bytes(view) == SECRET


def test_small_and_very_large_blocks_are_not_kept() -> None:
    assert not left_behind(bytes(LARGE_BLOCK // 2), bytes(LARGEST_KEPT + 1)).kept


def test_what_slow_uploads_hold_beyond_what_has_come_is_bounded() -> None:
    spare = SpareMemory(MOST)
    held: list[ReceiveBuffer] = []
    for _ in range(20):
        buffer_with(spare, bytes(LARGEST_KEPT)).recycle()
        held.append(buffer_with(spare, bytes(LARGEST_READ + 1), LARGEST_KEPT))
    beyond = sum(len(buffer.data) - len(buffer) for buffer in held)
    assert beyond + spare.kept < MOST + 20 * LARGEST_READ
    for buffer in held:
        buffer.recycle()
    assert MOST - LARGEST_KEPT < spare.kept <= MOST
    spare.clear()
    assert not spare.kept
