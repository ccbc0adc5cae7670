"""A parser of multipart forms (RFC 7578), which reads a form as it arrives, where it lies.

It accepts deviations from the rules that clients send and that can mean only one thing: blanks
after a boundary, text before the first boundary and after the last, folded headers, file names in
any encoding. Lines must end with CR LF, or readers would differ on where an image begins.
"""

import re
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from greengrocer.errors import MalformedUpload
from greengrocer.web.receive_buffer import ReceiveBuffer


class Part(NamedTuple):
    """The start of a part. Its content begins at ``start`` in the buffer, until bytes are dropped.

    All of the content is there, one piece behind the other.
    """

    name: str
    start: int


# The start of a part, some of its content (a view that must be gone before more is received), its
# end; or why a part cannot be read: then no other event of that part follows.
Event: TypeAlias = Part | memoryview | MalformedUpload | None

OTHER_PARTS = 100  # besides those with an image
MAX_PART_HEADERS = 8
MAX_PART_HEADER_LINES = 32  # of all headers of a part, folded lines included
MAX_PART_HEADER_BYTES = 4096
MAX_PADDING = 256  # blanks after a boundary
# Lines that are longer than the boundary they begin with: each takes as long as 1 KB.
MAX_LONGER = 1000
OVERHEAD = 1 << 17  # bytes of a form with one image, besides the image

_LINE = b"\r\n"
_DISPOSITION = b"content-disposition"
_BEHIND_BOUNDARY = re.compile(rb"[ \t]{0,%d}(\r\n|--)" % MAX_PADDING)
_CUT_BEHIND_BOUNDARY = re.compile(rb"[ \t]{0,%d}[\r-]?\Z" % MAX_PADDING)
_HEADER_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+[ \t]*")
_QUOTED = re.compile(rb'"[^"]*"')
_LINE_FEEDS = "its lines end with LF alone: end them with CR LF"
_TOO_LONG = f"it has a header of over {MAX_PART_HEADER_BYTES} bytes"
_TOO_MANY = f"it has more than {MAX_PART_HEADERS} headers, or {MAX_PART_HEADER_LINES} lines of them"
_LET_THE_CLIENT = "let the client set the Content-Type header of a form, which names its boundary"
_PARAMETER = re.compile(r';\s*([^\s=;"]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;]*)', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
# For a quoted text that ends with a backslash, which then is no escape: the last byte of some
# letters in Shift JIS, GBK and Big5.
_NAME = re.compile(r';\s*name\s*=\s*"?([^";]*)', re.IGNORECASE)


class Form:
    """Calls ``take`` with each event of a form that may have ``parts`` parts with an image.

    Receive the form into ``buffer``, and call ``read`` whenever some more has come. ``take`` may
    raise an event that is an error, or ignore it: then the next part is read. All methods raise
    MalformedUpload for a form that cannot be read any further.
    """

    def __init__(self, boundary: str, parts: int, take: Callable[[Event], None]) -> None:
        if not boundary:
            raise MalformedUpload(f"the Content-Type has no boundary: {_LET_THE_CLIENT}")
        self._boundary = _LINE + b"--" + boundary.encode("latin-1")
        self._take = take
        self._most = parts + OTHER_PARTS
        self._parts = 0
        self._preamble = 0  # bytes before the first part: forms have none, but the rules allow it
        self._longer = 0
        self._headers: list[bytes] = []
        self._lines = 0  # of headers
        self._inside = False  # inside a part whose content is reported
        self._fresh = False  # after the empty line, whose line break may begin a boundary
        # a function, no bound method: a cycle would keep the upload until the collector runs
        self._read: Callable[[Form, bytearray, int, int], tuple[int, bool]] = Form._content
        self.buffer = ReceiveBuffer(_LINE)  # the first boundary begins a line, too
        self._at = 0  # what is before is read
        self._ended = False

    def read(self) -> None:
        """Read what has come; raises what ``take`` raises, too."""
        data, end = self.buffer.data, len(self.buffer)
        more = True
        while more and not self._ended:
            self._at, more = self._read(self, data, self._at, end)

    def drop(self) -> None:
        """Free the memory of what is read."""
        self.buffer.drop(len(self.buffer) if self._ended else self._at)
        self._at = 0

    def close(self) -> None:
        """Make sure that the form is whole."""
        if not self._parts and not self._ended:
            raise MalformedUpload(f"no part begins with the form's boundary: {_LET_THE_CLIENT}")
        if not self._ended:
            raise MalformedUpload("the form ends before its last boundary: send all of it")

    def _content(self, data: bytearray, at: int, end: int) -> tuple[int, bool]:
        """Read up to the next boundary; returns the new position, and whether more can be read."""
        start = data.find(self._boundary, at, end)
        while start >= 0:
            behind = start + len(self._boundary)
            if found := _BEHIND_BOUNDARY.match(data, behind, end):
                self._tell(at, start)
                self._next_part(last=found[1] != _LINE)
                return found.end() - len(_LINE), True  # a header's line is read from that before
            if data.startswith(b"\n", behind, end):
                raise MalformedUpload(f"the form cannot be read: {_LINE_FEEDS}")
            if _CUT_BEHIND_BOUNDARY.match(data, behind, end):
                break
            self._longer += 1
            if self._longer > MAX_LONGER:
                raise MalformedUpload("too many lines of the form begin like its boundary")
            start = data.find(self._boundary, behind, end)
        if start < 0:
            start = data.rfind(b"\r", max(at, end - len(self._boundary) + 1), end)
            if start < 0 or not self._boundary.startswith(bytes(data[start:end])):
                start = end
        self._tell(at, start)
        return start, False

    def _tell(self, start: int, stop: int) -> None:
        if self._inside and start < stop:
            start, self._fresh = start + (len(_LINE) if self._fresh else 0), False
            self._take(self.buffer.view(start, stop))
        elif not self._parts:
            self._preamble += stop - start
            if self._preamble > OVERHEAD:
                raise MalformedUpload(f"no part begins with the form's boundary: {_LET_THE_CLIENT}")

    def _next_part(self, last: bool) -> None:
        if self._inside:
            self._take(None)
        self._inside, self._ended = False, last
        self._parts += not last
        if self._parts > self._most:
            raise MalformedUpload(f"the form has more than {self._most} parts: leave some out")
        self._headers.clear()
        self._lines = 0
        self._read = Form._header

    def _header(self, data: bytearray, at: int, end: int) -> tuple[int, bool]:
        """Read the line after the line break at ``at``: a header, or the empty line after them."""
        start = at + len(_LINE)
        stop = data.find(_LINE, start, end)
        if stop < 0 and end - start <= MAX_PART_HEADER_BYTES + 1:  # a CR is none of it
            return at, False
        if start == stop:
            self._begin(stop + len(_LINE))
            return start, True
        wrong = _TOO_LONG if stop < 0 else self._add_header(bytes(data[start:stop]))
        if wrong:
            self._skip(wrong)
            return at, True
        return stop, True

    def _add_header(self, line: bytes) -> str | None:
        """Keep a header; returns what is wrong with it, or None."""
        self._lines += 1
        if line[0] in b" \t" and self._headers:
            line = self._headers.pop() + b" " + line.lstrip(b" \t")
        if len(line) > MAX_PART_HEADER_BYTES:
            return _TOO_LONG
        if len(self._headers) == MAX_PART_HEADERS or self._lines > MAX_PART_HEADER_LINES:
            return _TOO_MANY
        name, colon, _ = line.partition(b":")
        if b"\n" in line and b"\n" in _QUOTED.sub(b"", line):  # a file's name may have one
            return _LINE_FEEDS
        if not colon or not _HEADER_NAME.fullmatch(name):
            return "a line among its headers is not a header"
        self._headers.append(line)
        return None

    def _begin(self, start: int) -> None:
        headers = [header.partition(b":") for header in self._headers]
        found = [value for name, _, value in headers if name.strip().lower() == _DISPOSITION]
        name = field_name(found[0]) if found else None
        if len(found) > 1:  # readers differ on which one counts
            self._skip("it has two headers Content-Disposition")
        elif name is None:
            self._skip("it has no header Content-Disposition: form-data, which names its field")
        else:
            self._read, self._inside, self._fresh = Form._content, True, True
            self._take(Part(name, start))

    def _skip(self, wrong: str) -> None:
        self._read = Form._content
        self._take(MalformedUpload(f"a part of the form cannot be read: {wrong}"))


def parameters(header: str) -> list[tuple[str, str]]:
    """Names, in lower case, and values, without quotes, in their order."""
    return [(name.lower(), _unquoted(value)) for name, value in _PARAMETER.findall(header)]


def field_name(disposition: bytes) -> str | None:
    """The field that a part's Content-Disposition names, None if it is not a form's."""
    text = disposition.decode("utf-8", "replace")
    if text.partition(";")[0].strip().lower() != "form-data":
        return None
    # the first name counts, so that text in a file name after it cannot change it
    names = [value for name, value in parameters(text) if name == "name"] or _NAME.findall(text)
    return names[0] if names else ""


def _unquoted(value: str) -> str:
    value = value.strip()
    if len(value) > 1 and value[0] == value[-1] == '"':
        return _ESCAPE.sub(r"\1", value[1:-1])
    return value
