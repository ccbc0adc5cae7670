"""The fields that a frame's body is made of, written and read one after the other."""

import struct
from functools import lru_cache
from typing import Any


class Malformed(Exception):
    """These bytes are no frame: whoever sent them is not to be trusted any further."""


@lru_cache(maxsize=32)
def _layout(layout: str) -> struct.Struct:
    return struct.Struct(">" + layout)


class Writer:
    """Collects a body. Raises ValueError for what its layout cannot hold."""

    def __init__(self) -> None:
        self._parts: list[bytes | memoryview] = []

    def put(self, layout: str, *values: float) -> None:
        """Numbers, as struct's ``layout`` says."""
        try:
            self._parts.append(_layout(layout).pack(*values))
        except struct.error as error:
            raise ValueError(f"no frame: {error}") from error

    def text(self, text: str) -> None:
        """A text of up to 65,535 bytes of UTF-8."""
        content = text.encode()
        self.put("H", len(content))
        self._parts.append(content)

    def optional_text(self, text: str | None) -> None:
        """A text, or none."""
        self.put("?", text is not None)
        self.text(text or "")

    def texts(self, texts: tuple[str, ...]) -> None:
        """Several texts."""
        self.put("I", len(texts))
        for text in texts:
            self.text(text)

    def raw(self, content: bytes | memoryview) -> None:
        """Bytes whose number the reader knows, or that reach to the end of the body."""
        self._parts.append(content)

    @property
    def length(self) -> int:
        """The body's, in bytes."""
        return sum(map(len, self._parts))

    def after(self, head: bytes) -> bytes:
        """``head`` and the body, put together in one copy."""
        return b"".join([head, *self._parts])


class Reader:
    """Reads a body. Raises Malformed where the bytes are not what is asked for."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    def get(self, layout: str) -> tuple[Any, ...]:
        """Numbers, as struct's ``layout`` says."""
        form = _layout(layout)
        return form.unpack(self._take(form.size))

    def text(self) -> str:
        """A text."""
        (length,) = self.get("H")
        try:
            return str(self._take(length), "utf-8")
        except UnicodeDecodeError as error:
            raise Malformed("a text that is not UTF-8") from error

    def optional_text(self) -> str | None:
        """A text, or None."""
        (present,) = self.get("?")
        text = self.text()
        return text if present else None

    def texts(self) -> tuple[str, ...]:
        """Several texts."""
        (count,) = self.get("I")
        if count * 2 > len(self._body) - self._at:  # each has a length of two bytes at least
            raise Malformed("fewer texts than it says")
        return tuple(self.text() for _ in range(count))

    def raw(self, length: int) -> bytes:
        """So many bytes."""
        return self._take(length)

    def rest(self) -> bytes:
        """What is left of the body."""
        return self._take(len(self._body) - self._at)

    def end(self) -> None:
        """Make sure that nothing is left."""
        if self._at != len(self._body):
            raise Malformed("bytes behind the frame's end")

    def _take(self, length: int) -> bytes:
        end = self._at + length
        if end > len(self._body):
            raise Malformed("the frame ends too early")
        content = self._body[self._at : end]
        self._at = end
        return content
