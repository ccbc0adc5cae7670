"""The bare pipeline behind the least of a server: what a socket, a loop and threads cost alone.

It reads a head for its Content-Length alone, the body into one buffer, and answers each image with
the same two bytes: no limits, no time-outs, no metrics, no JSON. Its loop is that of the service,
its threads are the standard library's, and an image that is alone gets all processors, as there.
"""

import asyncio
import socket
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import cast

import uvloop

from greengrocer.assemble_pipeline import build_pipeline
from greengrocer.bundles.bundle import find_bundle, load_bundle
from greengrocer.context import Context
from greengrocer.imaging.decode import Picture
from greengrocer.serving.resources import engine_threads, picture_threads

HEAD_END, LENGTH = b"\r\n\r\n", b"\r\ncontent-length: "
FIRST_BYTES = 1 << 16  # a buffer that has room for a small image and its head
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
FAILED = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 2\r\n\r\n{}"
Submit = Callable[[Picture], "Future[None]"]


class LeastProtocol(asyncio.BufferedProtocol):
    """One connection: a request, its answer, the next one, all in one buffer."""

    transport: asyncio.Transport

    def __init__(self, submit: Submit) -> None:
        self._submit = submit
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray(FIRST_BYTES)
        self._filled, self._body, self._total = 0, 0, 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        del sizehint
        return memoryview(self._buffer)[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        """Classify once the body is there."""
        self._filled += nbytes
        if not self._total:
            self._read_head()
        if self._total and self._filled >= self._total:
            done = self._submit(memoryview(self._buffer)[self._body : self._total])
            self._filled, self._total = 0, 0
            done.add_done_callback(lambda done: self._loop.call_soon_threadsafe(self._answer, done))

    def _read_head(self) -> None:
        end = self._buffer.find(HEAD_END, 0, self._filled)
        if end < 0:
            return
        at = self._buffer.index(LENGTH, 0, end) + len(LENGTH)
        self._body = end + len(HEAD_END)
        self._total = self._body + int(self._buffer[at : self._buffer.index(b"\r", at)])
        if self._total > len(self._buffer):
            larger = bytearray(self._total)
            larger[: self._filled] = memoryview(self._buffer)[: self._filled]
            self._buffer = larger

    def _answer(self, done: "Future[None]") -> None:
        self.transport.write(FAILED if done.exception() else ANSWER)


async def answer_until_stopped(submit: Submit) -> None:
    """Listen on a free port of 127.0.0.1 and say on standard error which."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = await loop.create_server(lambda: LeastProtocol(submit), sock=listener)
        sys.stderr.write(f"url=http://127.0.0.1:{listener.getsockname()[1]}\n")
        sys.stderr.flush()
        await server.serve_forever()


def main() -> None:
    """Serve the bundle that the argument names."""
    pipeline = build_pipeline(load_bundle(find_bundle(sys.argv[1])), threads=engine_threads())
    with ThreadPoolExecutor(picture_threads()) as pool:

        def classify(picture: Picture) -> None:
            pipeline.classify(picture, Context())

        uvloop.run(answer_until_stopped(lambda picture: pool.submit(classify, picture)))


if __name__ == "__main__":
    main()
