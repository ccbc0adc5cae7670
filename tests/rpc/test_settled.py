"""Frames of a client wait until it has acknowledged the server's settings."""

import pytest

from greengrocer.rpc.settled import FRAME_BYTES, PREFACE, WAITING_BYTES, Settled
from support.rpc import (
    ACKNOWLEDGEMENT,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    SETTINGS,
    frame,
)

OWN = PREFACE + frame(SETTINGS, content=bytes(6))
CALL = frame(HEADERS, END_HEADERS, 1, b"headers") + frame(DATA, END_STREAM, 1, b"data")
AGREED = frame(SETTINGS, ACKNOWLEDGEMENT)


@pytest.mark.parametrize("size", [1, 7, 24, 1000])
def test_calls_wait_for_the_acknowledgement_and_follow_it(size: int) -> None:
    sent = OWN + CALL + AGREED + b"anything"
    settled, got = Settled(), b""
    for at in range(0, len(sent), size):
        piece = sent[at : at + size]
        got += piece if settled.over else settled.feed(piece)
    assert settled.over
    assert got == OWN + AGREED + CALL + b"anything"


def test_nothing_but_the_settings_goes_before_the_acknowledgement() -> None:
    settled = Settled()
    assert settled.feed(OWN + CALL) == OWN
    assert settled.feed(frame(PING, content=bytes(8))) == b""
    assert not settled.over


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n\r\n" + bytes(24),
        b"G",
        PREFACE + frame(HEADERS, END_HEADERS, 1, b"headers"),
        PREFACE + AGREED,
        OWN + frame(DATA, 0, 1, bytes(FRAME_BYTES + 1))[:9],
        OWN + frame(DATA, 0, 1, bytes(FRAME_BYTES)) * (1 + WAITING_BYTES // FRAME_BYTES),
    ],
    ids=["HTTP/1.1", "a letter", "no settings", "an acknowledgement", "a long frame", "too much"],
)
def test_what_may_not_come_is_refused(sent: bytes) -> None:
    with pytest.raises(ValueError, match=r"HTTP/2|may come|too much"):
        Settled().feed(sent)
