"""Clients that send one byte a second."""

import select
import time

from conformance.wire import Answer, Wire, exchange, head

HEAD = b"GET /livez HTTP/1.1\r\nX-"
BODY = head("POST", "/predict", "Content-Type: image/jpeg", "Content-Length: 900")


def slow_clients(url: str, count: int, seconds: float) -> tuple[list[Answer], float]:
    """What ``count`` of them are answered, half of them slow already in the head.

    Beside it, the longest that /livez took meanwhile, in seconds. Gives up after ``seconds``.
    """
    clients = [Wire(url).send((HEAD, BODY)[number % 2]) for number in range(count)]
    waiting = {wire.socket: wire for wire in clients}
    longest, end = 0.0, time.monotonic() + seconds
    while waiting and time.monotonic() < end:
        for wire in waiting.values():
            wire.send(b"x")
        next_byte = time.monotonic() + 1
        started = time.monotonic()
        assert exchange(url, head("GET", "/livez")).status == 200
        longest = max(longest, time.monotonic() - started)
        while waiting and (left := next_byte - time.monotonic()) > 0:
            for answered in select.select(list(waiting), [], [], left)[0]:
                del waiting[answered]
    assert not waiting, f"{len(waiting)} have no answer after {seconds:g} seconds"
    answers = [wire.answer() for wire in clients]
    for wire in clients:
        wire.close()
    return answers, longest
