"""Reads the one picture of a request, raw or in a form, under limits that bite as bytes come."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header
from starlette.datastructures import Headers
from starlette.types import Receive

from greengrocer.errors import (
    Departed,
    EmptyPicture,
    MalformedUpload,
    MissingField,
    RepeatedField,
    SlowUpload,
    TooManyBytes,
    UnsupportedContentType,
)
from greengrocer.serving.admission import Receipt

FIELD = "file"
PICTURE_TYPES = ("image/jpeg", "image/png", "image/webp")
FORM_TYPE = "multipart/form-data"

MAX_PARTS = 16
MAX_PART_HEADERS = 8
MAX_PART_HEADER_BYTES = 4096
FORM_OVERHEAD = MAX_PARTS * MAX_PART_HEADERS * 1024  # bytes of a form that are no picture


@dataclass(frozen=True)
class UploadLimits:
    """How much may come, and how slowly.

    A body has ``grace`` seconds, and one second more for every ``rate`` bytes that have come.
    """

    picture_bytes: int
    grace: float
    rate: float


async def read_picture(
    receive: Receive, headers: Headers, limits: UploadLimits, receipt: Receipt
) -> bytes:
    """The picture's bytes, as they were sent: nothing is decoded.

    Raises an UploadRefused, EmptyPicture, Overloaded (bytes in flight), or Departed.
    """
    kind, options = parse_options_header(headers.get("content-type", ""))
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedContentType("the body has a content encoding: send it as it is")
    if kind == FORM_TYPE:
        allowed = limits.picture_bytes + FORM_OVERHEAD
        _check_declared_length(headers, allowed)
        chunks = _chunks(receive, allowed, limits, receipt)
        picture = await _form_field(chunks, options.get("boundary", ""), limits.picture_bytes)
    elif kind in PICTURE_TYPES:
        _check_declared_length(headers, limits.picture_bytes)
        chunks = _chunks(receive, limits.picture_bytes, limits, receipt)
        picture = b"".join([chunk async for chunk in chunks])
    else:
        raise UnsupportedContentType(
            f"the content type is {kind or 'missing'}: send {FORM_TYPE} with the field "
            f"{FIELD!r}, or the picture as {', '.join(PICTURE_TYPES)}"
        )
    if not picture:
        raise EmptyPicture("the picture is empty: 0 bytes")
    return picture


def _check_declared_length(headers: Headers, allowed: int) -> None:
    """Refuse at once what says that it is too long; what says nothing is counted as it comes."""
    declared = headers.get("content-length", "0")
    if not declared.isdecimal():
        raise MalformedUpload("the Content-Length is not a number")
    if int(declared) > allowed:
        raise TooManyBytes(f"the body is {declared} bytes long: at most {allowed} are taken")


async def _chunks(
    receive: Receive, allowed: int, limits: UploadLimits, receipt: Receipt
) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    latest = loop.time() + limits.grace
    more = True
    while more:
        try:
            async with asyncio.timeout_at(latest + receipt.size / limits.rate):
                message = await receive()
        except TimeoutError:
            raise SlowUpload(f"only {receipt.size} bytes came in time: send faster") from None
        if message["type"] == "http.disconnect":
            raise Departed("the client left while it was sending")
        chunk = message.get("body", b"")
        more = message.get("more_body", False)
        receipt.grow(len(chunk))
        if receipt.size > allowed:
            raise TooManyBytes(f"the body is longer than the {allowed} bytes that are taken")
        yield chunk


async def _form_field(chunks: AsyncIterator[bytes], boundary: str, allowed: int) -> bytes:
    """The content of the only part called ``file``; a part's declared type is ignored."""
    form = _Form(allowed)
    preamble = 0  # bytes before the first part: forms have none, but the rules allow it
    try:
        parser = PushMultipartParser(
            boundary,
            max_segment_count=MAX_PARTS,
            max_header_count=MAX_PART_HEADERS,
            max_header_size=MAX_PART_HEADER_BYTES,
        )
        with parser:
            async for chunk in chunks:
                for event in parser.parse(chunk) if chunk else ():
                    form.take(event)
                preamble += 0 if form.begun else len(chunk)
                if preamble > FORM_OVERHEAD:
                    raise MalformedUpload("the form does not begin with its boundary")
    except MultipartError as error:
        raise MalformedUpload(f"the form cannot be read: {error}") from error
    if form.picture is None:
        raise MissingField(f"the form has no part {FIELD!r}: put the picture there")
    return bytes(form.picture)


class _Form:
    """What is kept of a form: the part called ``file`` and nothing else."""

    def __init__(self, allowed: int) -> None:
        self.picture: bytearray | None = None
        self.begun = False
        self._allowed = allowed
        self._inside = False

    def take(self, event: MultipartSegment | bytes | bytearray | None) -> None:
        """Take a parser's event: a part's beginning, some of its content, or its end (None)."""
        if isinstance(event, MultipartSegment):
            self.begun = True
            self._inside = event.name == FIELD
            if self._inside and self.picture is not None:
                raise RepeatedField(f"the form has two parts {FIELD!r}: send one")
            if self._inside:
                self.picture = bytearray()
        elif event and self._inside and self.picture is not None:
            self.picture += event
            if len(self.picture) > self._allowed:
                raise TooManyBytes(
                    f"the picture is longer than the {self._allowed} bytes that are taken"
                )
