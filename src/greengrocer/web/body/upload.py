"""Reads a request's one image, raw or in a form, under limits that are checked as bytes arrive."""

import asyncio
import math
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from greengrocer.errors import (
    DeadlineExceeded,
    EmptyImage,
    MalformedUpload,
    MissingField,
    RepeatedField,
    SlowUpload,
    TooManyBytes,
    UnsupportedContentType,
    UploadRefused,
)
from greengrocer.imaging.formats import media_types
from greengrocer.serving.admission import ReservedBytes
from greengrocer.web.body.form import OVERHEAD, Event, Form, Part, parameters
from greengrocer.web.quoted import quoted
from greengrocer.web.receive_buffer import ReceiveBuffer, Source

FIELD = "file"
IMAGE_TYPES = media_types()
OCTETS = "application/octet-stream"
FORM_TYPE = "multipart/form-data"
LINK_TYPE = "application/x-www-form-urlencoded"
ANY_BYTES = frozenset({"octet-stream", "x-octet-stream", "binary", "x-binary", "*"})  # x/THESE
_FORM_BEGINS = re.compile(rb"(\r\n)?--[^\r\n]{1,200}\r\ncontent-", re.IGNORECASE)
LENGTH_DIGITS = 20  # of a Content-Length, at most


@dataclass(frozen=True)
class UploadLimits:
    """Limits on the size and the pace of an upload.

    A body has ``grace`` seconds, and one second more for every ``rate`` bytes that arrive, but
    never more than ``grace`` from now: a fast start does not allow a longer pause.
    ``request_bytes`` and ``images`` bound a request with many of them.
    """

    image_bytes: int
    grace: float
    rate: float
    request_bytes: int = 500_000_000
    images: int = 1000


async def read_image(
    source: Source,
    headers: Mapping[bytes, bytes],
    limits: UploadLimits,
    receipt: ReservedBytes,
    end: float = math.inf,
) -> memoryview:
    """The image's bytes, where they were received: nothing is copied or decoded.

    ``end`` is the moment, in monotonic seconds, until which the client waits.

    Raises an UploadRefused, EmptyImage, Overloaded (bytes in flight), DeadlineExceeded or
    ClientDisconnected.
    """
    kind, boundary = read_content_type(headers)
    if kind == FORM_TYPE:
        allowed = limits.image_bytes + OVERHEAD
        check_declared_length(headers, allowed)
        one = _FormImage(limits.image_bytes)
        form = Form(boundary, 1, one.take)
        read = form.read
        receipt.released = form.buffer.recycle_soon
        await receive_body(source, form.buffer, lambda _: read(), allowed, limits, receipt, end)
        form.close()
        image = one.whole(form.buffer)
    elif _may_be_an_image(kind):
        check_declared_length(headers, limits.image_bytes)
        body = ReceiveBuffer()
        receipt.released = body.recycle_soon
        await receive_body(source, body, None, limits.image_bytes, limits, receipt, end)
        image = body.view()
        if _FORM_BEGINS.match(image):
            raise MalformedUpload(
                "the body is a form, and its Content-Type does not say so: let the client set the "
                "Content-Type header"
            )
    else:
        types = ", ".join([*IMAGE_TYPES, OCTETS])
        raise wrong_type(kind, f"with the field {FIELD!r}, or the image as one of {types}")
    if not image:
        raise EmptyImage("the image is empty: 0 bytes")
    return image


def read_content_type(headers: Mapping[bytes, bytes]) -> tuple[str, str]:
    """The body's media type, and a form's boundary; both are empty where there is none.

    Raises UnsupportedContentType for an encoded body, MalformedUpload for a form of two boundaries.
    """
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise UnsupportedContentType("the body has a content encoding: send it as it is")
    header = headers.get(b"content-type", b"").decode("latin-1")
    kind = header.partition(";")[0].strip().lower()
    # blanks at its end are none of it (RFC 2046, 5.1.1), and a form may have more of them
    boundaries = {v.rstrip(" \t") for name, v in parameters(header) if name == "boundary"}
    if kind == FORM_TYPE and len(boundaries) > 1:
        raise MalformedUpload("the Content-Type has two boundaries that differ: send one")
    return kind, boundaries.pop() if len(boundaries) == 1 else ""


def _may_be_an_image(kind: str) -> bool:
    """Whether a body of this media type may be an image: not if the type names something else."""
    main, _, sub = kind.partition("/")
    return not kind or main == "image" or sub in ANY_BYTES


def wrong_type(kind: str, rest: str) -> UnsupportedContentType:
    """The refusal of a media type where a form is expected; ``rest`` ends its message."""
    if kind == LINK_TYPE:
        return UnsupportedContentType(
            f"the content type is {kind}, which curl's --data-binary sets for any body: send "
            f"{FORM_TYPE} (curl -F {FIELD}=@photo.jpg), or name the type (curl -H 'Content-Type: "
            f"{IMAGE_TYPES[0]}') of a single image"
        )
    found = quoted(kind) if kind else "missing"
    return UnsupportedContentType(f"the content type is {found}: send {FORM_TYPE} {rest}")


def check_declared_length(headers: Mapping[bytes, bytes], allowed: int) -> None:
    """Refuse a body whose Content-Length is over ``allowed``; without one, bytes are counted."""
    declared = headers.get(b"content-length", b"0")
    if not (declared.isdigit() and len(declared) <= LENGTH_DIGITS):
        raise MalformedUpload("the Content-Length is not a number of bytes")
    if int(declared) > allowed:
        raise TooManyBytes(
            f"the body is {int(declared)} bytes long: at most {allowed} are accepted"
        )


async def receive_body(
    source: Source,
    buffer: ReceiveBuffer,
    take: Callable[[int], Awaitable[None] | None] | None,
    allowed: int,
    limits: UploadLimits,
    receipt: ReservedBytes | None,
    end: float,
) -> None:
    """Receive the body from ``source`` into ``buffer``: at most ``allowed`` bytes, and in time.

    Only this function bounds the pace of an upload, by the clock of the event loop. ``take`` is
    called with the number of bytes whenever some have come. What it returns is awaited; that time
    does not count against the client. ``receipt`` counts the bytes.

    Raises TooManyBytes, SlowUpload, DeadlineExceeded (at ``end``, in monotonic seconds),
    ClientDisconnected, Overloaded, and what ``take`` raises.
    """
    loop = asyncio.get_running_loop()
    end += loop.time() - time.monotonic()  # the loop's clock may be another
    latest = loop.time() + limits.grace
    came, more = 0, True
    try:
        async with asyncio.timeout_at(min(latest, end)) as timer:
            while more:
                count, more = await source(buffer)
                came += count
                # before the bytes are reserved: what can never have a place is no overload
                if came > allowed:
                    raise TooManyBytes(
                        f"the body is longer than the {allowed} bytes that are accepted"
                    )
                if receipt is not None:
                    receipt.grow(count)
                now = loop.time()
                latest = min(latest + count / limits.rate, now + limits.grace)
                if take is not None and (paused := take(count)) is not None:
                    timer.reschedule(None)
                    await paused
                    latest += loop.time() - now
                if more:
                    timer.reschedule(min(latest, end))
    except TimeoutError:
        if end < latest:
            raise DeadlineExceeded("the deadline passed before the upload ended") from None
        raise SlowUpload(f"the upload is too slow: {came} bytes came in time") from None


class _FormImage:
    """Finds the content of the part called ``file``; its declared type is ignored."""

    def __init__(self, allowed: int) -> None:
        self._allowed = allowed
        self._start: int | None = None
        self._length = 0
        self._inside = False

    def whole(self, buffer: ReceiveBuffer) -> memoryview:
        """The image, in the form's ``buffer``; raises MissingField."""
        if self._start is None:
            raise MissingField(f"the form has no part {FIELD!r}: put the image there")
        return buffer.view(self._start, self._start + self._length)

    def take(self, event: Event) -> None:
        """Handle an event of the form; raises RepeatedField, TooManyBytes or MalformedUpload."""
        if isinstance(event, MalformedUpload):
            raise event
        if isinstance(event, Part):
            self._inside = event.name == FIELD
            if self._inside and self._start is not None:
                raise RepeatedField(f"the form has two parts {FIELD!r}: send one")
            if self._inside:
                self._start = event.start
        elif event and self._inside:
            self._length += len(event)
            if self._length > self._allowed:
                raise TooManyBytes(
                    f"the image is longer than the {self._allowed} bytes that are accepted"
                )


class FormImages:
    """Collects the content of each part called ``file``; one that is too long is dropped.

    A part that cannot be read may have been an image, and counts as one that is refused.
    """

    def __init__(self, limits: UploadLimits) -> None:
        self._limits = limits
        self._count = 0
        self._inside = False
        self._image = bytearray()
        self._too_long = False
        self._whole: list[memoryview | UploadRefused] = []

    @property
    def held(self) -> int:
        """Bytes of the image that is not whole yet."""
        return len(self._image)

    def whole(self) -> list[memoryview | UploadRefused]:
        """The images that have become whole since the last time, or why one is not taken."""
        whole, self._whole = self._whole, []
        return whole

    def take(self, event: Event) -> None:
        """Handle an event of the form; raises RepeatedField for too many images."""
        if isinstance(event, Part):
            self._begin(event.name == FIELD)
        elif isinstance(event, MalformedUpload):
            self._begin(image=True)
            self._inside = False
            self._whole.append(event)
        elif self._inside and event is None:
            self._finish()
        elif self._inside and not self._too_long:
            self._image += event or b""
            if len(self._image) > self._limits.image_bytes:
                self._image.clear()
                self._too_long = True

    def _begin(self, image: bool) -> None:
        self._inside, self._too_long = image, False
        self._count += image
        if self._count > self._limits.images:
            raise RepeatedField(
                f"the form has more than {self._limits.images} parts {FIELD!r}: "
                "send the rest in another request"
            )

    def _finish(self) -> None:
        most = self._limits.image_bytes
        error = TooManyBytes(f"the image is longer than the {most} bytes that are accepted")
        self._whole.append(error if self._too_long else memoryview(self._image).toreadonly())
        self._image = bytearray()
        self._inside = False
