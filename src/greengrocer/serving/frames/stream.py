"""Frames on a stream of bytes: their lengths, their limits, and the two ends of a connection.

A frame is a head (the kind's number and the body's length, big-endian) and a body, which is the
frame in MessagePack. The head is checked before the body is read.
"""

import asyncio
import struct
from collections.abc import Callable, Iterator
from typing import cast

import structlog
from msgspec import MsgspecError
from msgspec.msgpack import Decoder, Encoder

from greengrocer.serving.frames.frames import (
    Answered,
    Begun,
    Cancel,
    Classify,
    Described,
    Failed,
    Frame,
    Ping,
    RateLimitReply,
    RateLimitRequest,
    Refused,
)
from greengrocer.serving.frames.shared_memory import send_sharing

HEAD = struct.Struct(">BI")
BARE_BYTES = 16  # a tag and an id
SMALL_BYTES = 1 << 16
CLASSIFY_BYTES = 1 << 12  # a Classify without its image
ANSWER_BYTES = 64 << 20  # evidence of a large map of thousands of classes
LABEL_BYTES = 64 << 20  # a bundle's manifest, which has the class names, is at most 1 MiB
LIMITS: dict[type[Frame], int] = {
    Cancel: BARE_BYTES,
    Begun: BARE_BYTES,
    Failed: BARE_BYTES,
    Ping: BARE_BYTES,
    Classify: CLASSIFY_BYTES,
    Answered: ANSWER_BYTES,
    Refused: SMALL_BYTES,
    Described: LABEL_BYTES,
    RateLimitRequest: SMALL_BYTES,
    RateLimitReply: SMALL_BYTES,
}
TAG_OF: dict[type[Frame], int] = {kind: cast("int", kind.__struct_config__.tag) for kind in LIMITS}
DECODERS = {tag: Decoder(kind) for kind, tag in TAG_OF.items()}
_encoder = Encoder()

log = structlog.get_logger("greengrocer.workers")


class Malformed(Exception):
    """The bytes are no frame: nothing more is read from whoever sent them."""


def encode(frame: Frame) -> bytes | bytearray:
    """The bytes of ``frame``: the head and the body. Images and arrays are copied once."""
    content = bytearray(HEAD.size)
    _encoder.encode_into(frame, content, HEAD.size)
    HEAD.pack_into(content, 0, TAG_OF[type(frame)], len(content) - HEAD.size)
    return content


class FrameStream:
    """Cuts a stream of bytes into frames of the ``expected`` kinds.

    ``image_bytes`` is the limit of an image's size.
    """

    def __init__(self, expected: tuple[type[Frame], ...], image_bytes: int = 0) -> None:
        self._limits = {TAG_OF[kind]: LIMITS[kind] for kind in expected}
        if Classify in expected:
            self._limits[TAG_OF[Classify]] += image_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes | bytearray) -> Iterator[Frame]:
        """The frames that ``data`` completes. Raises Malformed: stop reading after it."""
        self._buffer += data
        while len(self._buffer) >= HEAD.size:
            tag, length = HEAD.unpack_from(self._buffer)
            if length > self._limits.get(tag, -1):
                raise Malformed(f"a frame of kind {tag} and {length} bytes is not allowed here")
            end = HEAD.size + length
            if len(self._buffer) < end:
                return
            with memoryview(self._buffer) as view:
                frame = _decode(tag, view[HEAD.size : end])
            del self._buffer[:end]
            yield frame


def _decode(tag: int, body: memoryview) -> Frame:
    try:
        return DECODERS[tag].decode(body)
    except (MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"a frame of kind {tag} is malformed: {error}") from None


class Link(asyncio.Protocol):
    """One end of a connection, on the event loop.

    ``receive`` is called with every frame, and ``lost`` once, at the end of the connection. A
    malformed frame closes the connection. ``full`` says that the other end has not read what was
    sent: send no image until ``drained`` is called, or images pile up here uncounted.
    """

    def __init__(
        self,
        stream: FrameStream,
        receive: Callable[[Frame], None],
        lost: Callable[[], None],
        drained: Callable[[], None] = lambda: None,
    ) -> None:
        self.full = False
        self._stream = stream
        self._receive = receive
        self._lost = lost
        self._drained = drained
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own is no subclass

    def connection_lost(self, exc: Exception | None) -> None:
        """Call ``lost``, whatever the reason."""
        del exc
        self._transport = None
        self._lost()

    def pause_writing(self) -> None:
        """The socket's buffer is full."""
        self.full = True

    def resume_writing(self) -> None:
        """The other end has read on."""
        self.full = False
        self._drained()

    def data_received(self, data: bytes) -> None:
        """Call ``receive`` with each frame that is complete."""
        try:
            for frame in self._stream.feed(data):
                self._receive(frame)
        except Malformed as error:
            log.error("malformed frame", reason=str(error))  # noqa: TRY400
            self.drop()

    def send(self, frame: Frame) -> None:
        """Send ``frame``, if the connection is open."""
        if self._transport is not None:
            self._transport.write(encode(frame))

    def send_with(self, frame: Frame, descriptor: int) -> bool:
        """Send ``frame`` and, with its bytes, ``descriptor``.

        Returns False, and has sent nothing, if it would have to wait: asyncio can only make bytes
        wait.
        """
        if self._transport is None or self._transport.get_write_buffer_size():
            return False
        content = encode(frame)
        sent = send_sharing(self._transport.get_extra_info("socket").fileno(), content, descriptor)
        if 0 < sent < len(content):
            self._transport.write(content[sent:])
        return sent > 0

    def drop(self) -> None:
        """Close the connection at once."""
        if self._transport is not None:
            self._transport.abort()
