"""Keep an attempt of the synchronous client within the deadline of its call.

A time-out of httpx bounds one read or one write, of which an attempt may have any number. Here the
clock is read before each phase of an attempt and at each piece of a body. ``left`` gives the
seconds that are left, and raises DeadlineExceeded where there are none.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import httpx

PIECE = 1 << 16  # bytes of an upload that are sent between two looks at the clock
PHASES = ("pool", "connect", "write", "read")

Left = Callable[[], float]


class PhaseTimeouts(Mapping[str, float]):
    """httpx's time-outs in seconds: what is left when a phase begins and asks for its own."""

    def __init__(self, left: Left) -> None:
        self._left = left

    def __getitem__(self, phase: str) -> float:
        if phase not in PHASES:
            raise KeyError(phase)
        return self._left()

    def __iter__(self) -> Iterator[str]:
        return iter(PHASES)

    def __len__(self) -> int:
        return len(PHASES)


class Upload(httpx.SyncByteStream):
    """The body of a request, in pieces that end with the deadline."""

    def __init__(self, body: bytes, left: Left) -> None:
        self._body, self._left = body, left

    def __iter__(self) -> Iterator[bytes]:
        for start in range(0, len(self._body), PIECE):
            self._left()
            yield self._body[start : start + PIECE]


class Download(httpx.SyncByteStream):
    """The body of a response, in pieces that end with the deadline."""

    def __init__(self, stream: httpx.SyncByteStream, left: Left) -> None:
        self._stream, self._left = stream, left

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._stream:
            self._left()
            yield piece

    def close(self) -> None:
        """Close the stream, and with it the connection if the body is not at its end."""
        self._stream.close()


def send(http: httpx.Client, arguments: Mapping[str, Any], left: Left) -> httpx.Response:
    """The whole response to a request of ``arguments``, which are those of ``http.request``.

    Raises httpx's errors, and what ``left`` raises.
    """
    body = arguments["content"]
    bounded = {
        "content": None if body is None else Upload(body, left),
        "extensions": {"timeout": PhaseTimeouts(left)},
    }
    response = http.send(http.build_request(**{**arguments, **bounded}), stream=True)
    try:
        response.stream = Download(cast("httpx.SyncByteStream", response.stream), left)
        response.read()
    finally:
        response.close()
    return response
