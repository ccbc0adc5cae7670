"""Cuts long fields out of a protobuf message, as views of it, before the rest is parsed.

So images are not copied, and no message can make the parser build millions of objects.
"""

from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from greengrocer.errors import MalformedUpload, TooManyBytes

MOST_BYTES = 1 << 21  # to parse, of one message
MOST_FIELDS = 10_000  # of one message, not counting those inside its fields
VARINT_BYTES = 10
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types; others are of groups, which are gone
SIZES = {FIXED64: 8, FIXED32: 4}

M = TypeVar("M", bound=Message)


def parse(kind: type[M], message: bytes | memoryview) -> M:
    """The message; raises MalformedUpload, or TooManyBytes where it would take much memory."""
    if len(message) > MOST_BYTES:
        raise TooManyBytes(
            f"the message has {len(message)} bytes besides its images: at most {MOST_BYTES} are "
            "accepted; send pixels as raw_input_contents"
        )
    try:
        return kind.FromString(bytes(message))
    except DecodeError as error:
        raise MalformedUpload(f"the message is not a {kind.DESCRIPTOR.name}") from error


def cut(message: bytes | memoryview, *numbers: int) -> tuple[bytes, tuple[list[memoryview], ...]]:
    """The message without the fields ``numbers``, and the content of each of these fields.

    Only fields of bytes, texts and messages are cut out. Raises MalformedUpload or TooManyBytes.
    """
    view = memoryview(message)
    found: dict[int, list[memoryview]] = {number: [] for number in numbers}
    rest: list[memoryview] = []
    at = count = 0
    while at < len(view):
        start, count = at, count + 1
        if count > MOST_FIELDS:
            raise TooManyBytes(f"the message has over {MOST_FIELDS} fields")
        key, at = _varint(view, at)
        kind = key & 7
        if kind == BYTES:
            size, at = _varint(view, at)
        elif kind in SIZES:
            size = SIZES[kind]
        elif kind == VARINT:
            size, (_, end) = 0, _varint(view, at)
            at = end
        else:
            raise MalformedUpload(f"the message has a field of the unknown wire type {kind}")
        begin, at = at, at + size
        if at > len(view):
            raise MalformedUpload("the message ends within a field")
        taken = found.get(key >> 3) if kind == BYTES else None
        if taken is None:
            rest.append(view[start:at])
        else:
            taken.append(view[begin:at])
    return b"".join(rest), tuple(found[number] for number in numbers)


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    """The number at ``at``, and where it ends."""
    value = 0
    for shift, byte in enumerate(view[at : at + VARINT_BYTES]):
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return value, at + shift + 1
    raise MalformedUpload("the message ends within a number, or has one that is too long")
