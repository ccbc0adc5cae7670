"""A multipart form, read as it comes under limits, and what is wrong with it in our words."""

from collections.abc import Callable
from typing import TypeAlias

from multipart import MultipartError, MultipartSegment, PushMultipartParser

from greengrocer.errors import MalformedUpload

# A part's beginning, some of its content, or its end.
Event: TypeAlias = MultipartSegment | bytes | bytearray | None

OTHER_PARTS = 15  # beside those that are wanted
MAX_PART_HEADERS = 8
MAX_PART_HEADER_BYTES = 4096
OVERHEAD = 1 << 17  # bytes of a form with one picture that are no picture


class Form:
    """Tells ``take`` of each event of a form in which so many ``parts`` are wanted.

    Raises MalformedUpload, as all of its methods do.
    """

    def __init__(self, boundary: str, parts: int, take: Callable[[Event], None]) -> None:
        self._take = take
        self._begun = False
        self._preamble = 0  # bytes before the first part: forms have none, but the rules allow it
        try:
            self._parser = PushMultipartParser(
                boundary,
                max_segment_count=parts + OTHER_PARTS,
                max_header_count=MAX_PART_HEADERS,
                max_header_size=MAX_PART_HEADER_BYTES,
            )
        except MultipartError as error:
            raise _unreadable(error) from error

    def feed(self, chunk: bytes) -> None:
        """Read some more; raises what ``take`` raises, too."""
        try:
            for event in self._parser.parse(chunk) if chunk else ():
                self._begun = True
                self._take(event)
        except MultipartError as error:
            raise _unreadable(error) from error
        self._preamble += 0 if self._begun else len(chunk)
        if self._preamble > OVERHEAD:
            raise MalformedUpload("the form does not begin with its boundary")

    def close(self) -> None:
        """Make sure that the form is whole."""
        try:
            self._parser.close()
        except MultipartError as error:
            raise _unreadable(error) from error


def _unreadable(error: MultipartError) -> MalformedUpload:
    return MalformedUpload(f"the form cannot be read: {error}")
