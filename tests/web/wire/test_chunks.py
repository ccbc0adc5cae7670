"""Chunked bodies: how they are cut for the parser, and that they smuggle no request."""

import random
from pathlib import Path

import pytest

from greengrocer.web.wire.protocol import LimitedProtocol
from greengrocer.web.wire.read_ahead import (
    FREE_CHUNKS,
    LINE_BYTES,
    MEAN_CHUNK,
    ChunkFraming,
    MalformedChunk,
    ReadAhead,
    TooManyChunks,
)
from support.live import live, make_service
from support.problems import problem_of
from support.servers import Server
from support.wire import Wire, exchange, head

HEAD = head("POST", "/predict", "Content-Type: image/jpeg", "Transfer-Encoding: chunked")
NEXT = head("GET", "/livez", "Connection: close")

LONG = b"f" * 16 + b"\r\n"  # a size that no 64 bits hold with its line break
PADDED = b"0" * 16 + b"5\r\n"
NO_SIZES = [b"\n", b"\r\n", b"5\n", b"g\r\n", b"-1\r\n", b"0x5\r\n", b"5;a\rb\n", LONG, PADDED]


def chunked(*contents: bytes) -> bytes:
    """``contents`` as chunks, and the last chunk's line."""
    return b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in contents) + b"0\r\n"


def pieces(body: bytes, reads: list[int]) -> list[bytes]:
    """What the parser is given of ``body``, which comes in so many reads, up to its last chunk."""
    ahead, chunks, found, start = ReadAhead(), ChunkFraming(), [], 0
    for read in reads:
        ahead.add(body[start : start + read])
        start += read
        if not chunks.ended:
            found.append(bytes(ahead.take_chunks(chunks)))
    assert chunks.ended
    return found


@pytest.mark.parametrize("content", [b"\n" * 100_000, b"\r\n\r\n" * 20_000, b"0\r\n\r\n" * 20_000])
def test_a_read_is_one_piece_whatever_its_chunks_contain(content: bytes) -> None:
    body = chunked(*[content] * 10)
    assert pieces(body + b"\r\n" + NEXT, [len(body) + 2 + len(NEXT)]) == [body]


def test_a_chunked_body_may_arrive_in_reads_of_any_size() -> None:
    random.seed(5)
    body = chunked(b"\n\n\n\n", b"0\r\n\r\n", b"x" * 300, b"\r")
    for _ in range(300):
        reads = [random.randint(1, 9) for _ in range(len(body))]
        assert b"".join(pieces(body, reads)) == body


@pytest.mark.parametrize("line", NO_SIZES)
def test_an_invalid_chunk_size_is_refused(fake_server: Server, line: bytes) -> None:
    with pytest.raises(MalformedChunk):
        ChunkFraming().follow(bytearray(line))
    with pytest.raises(MalformedChunk):
        ChunkFraming().follow(bytearray(b"1\r\n\n\r\n" + line))
    with Wire(fake_server.url) as wire:
        assert wire.send(HEAD + line + NEXT).answer().status == 400
        assert wire.closed()


def test_a_size_of_16_digits_is_read() -> None:
    body = b"%016x\r\n12345\r\n%016x\r\n" % (5, 0)
    assert ChunkFraming().follow(bytearray(body)) == len(body)


@pytest.mark.parametrize("end", [b"", b"\r\nhello\r\n0\r\n\r\n"])
def test_an_endless_line_is_refused(fake_server: Server, end: bytes) -> None:
    line = b"5;" + b"x" * LINE_BYTES + end
    with pytest.raises(MalformedChunk):
        ChunkFraming().follow(bytearray(line))
    assert exchange(fake_server.url, HEAD + line).status == 400


@pytest.mark.parametrize("size", [1, 4096, 200_000])
def test_line_feeds_in_content_do_not_split_reads(
    fake_bundle: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    counts = {"reads": 0, "pieces": 0}

    def count(name: str, of: str) -> None:
        method = getattr(LimitedProtocol, name)

        def counted(self: LimitedProtocol, data: bytes) -> None:
            counts[of] += 1
            method(self, data)

        monkeypatch.setattr(LimitedProtocol, name, counted)

    count("data_received", "reads")
    count("_parse", "pieces")
    body = chunked(*[b"\n" * size] * min(FREE_CHUNKS - 1, 400_000 // (size + 6)))
    with live(make_service(fake_bundle)) as server, Wire(server.url) as wire:
        wire.send(HEAD + body + b"\r\n" + NEXT)
        assert wire.answer().status == 400  # it is no image
        assert wire.answer().status == 200
    assert counts["pieces"] <= counts["reads"] + 4  # two heads and the trailers


def test_a_second_request_within_a_body_is_refused(fake_server: Server) -> None:
    for smuggled in (b"5\n", b"0 ;\n\n", b"0\r\r\n", b"1\r\nx" + b"0\r\n\r\n", b"\x0b0\r\n\r\n"):
        with Wire(fake_server.url) as wire:
            assert wire.send(HEAD + smuggled + NEXT * 2).answer().status == 400
            assert wire.closed()


def test_chunks_beyond_the_free_ones_have_a_mean_size() -> None:
    free = [b"x"] * (FREE_CHUNKS - 1)  # and the last chunk
    large = [b"x" * MEAN_CHUNK * FREE_CHUNKS, *[b"x"] * (2 * FREE_CHUNKS - 2)]
    for allowed in (free, large):
        body = chunked(*allowed)
        half = len(body) // 2
        assert b"".join(pieces(body, [half, len(body) - half])) == body
        with pytest.raises(TooManyChunks):
            ChunkFraming().follow(bytearray(chunked(*allowed, *[b"x"] * 40)))


def test_a_body_of_many_small_chunks_is_refused_before_its_end(fake_server: Server) -> None:
    small = chunked(*[b"x"] * 2 * FREE_CHUNKS).removesuffix(b"0\r\n")
    with Wire(fake_server.url) as wire:
        answer = wire.send(HEAD + small).answer()
        assert problem_of(400, answer.headers, answer.body).code == "bad-request"
        assert b"small chunks" in answer.body
        assert wire.closed()
