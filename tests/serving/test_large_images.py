"""Images of a few bytes that take seconds and gigabytes to decode keep no others waiting."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support.make_images import jpeg
from support.scrapes import sample, scrape
from support.servers import StartServer
from support.waiting import until

# A WebP of 16383 x 7300 pixels in one colour, without loss.
LARGE = bytes.fromhex("524946461a000000574542505650384c0e0000002ffeff2007071011fd0f4444ff03")
# One of 4000 x 3550, which does not fit beside it either.
MEDIUM = bytes.fromhex("524946461a000000574542505650384c0e0000002f9f4f7703071011fd0f4444ff03")
CLIENTS, SMALL = 5, 6
GIGABYTE = 1_000_000_000


@pytest.mark.accept
@pytest.mark.parametrize("route", ["/predict", "/explain"])
@pytest.mark.parametrize("workers", [(), ("--workers", "1")], ids=["one process", "workers"])
def test_small_images_are_answered_while_large_ones_wait_for_memory(
    serve: StartServer, fake_bundle: Path, workers: tuple[str, ...], route: str
) -> None:
    flags = ["--bundle", str(fake_bundle), "--engine", "fake", "--threads", "2"]
    server = serve(*flags, "--decode-memory-bytes", "2GB", *workers)

    def ask(image: bytes) -> int:
        with server.client() as client:
            sent = client.post(route, content=image, headers={"content-type": "image/any"})
            return sent.status_code

    def decoding() -> bool:
        with server.client() as client:
            return sample(scrape(client), "decode_bytes") > GIGABYTE

    assert ask(jpeg(5)) == 200
    with ThreadPoolExecutor(CLIENTS) as pool:
        others = [pool.submit(ask, LARGE) for _ in range(CLIENTS - 2)]
        until(decoding)
        others += [pool.submit(ask, MEDIUM) for _ in range(2)]
        before = sum(each.done() for each in others)
        assert [ask(jpeg(5)) for _ in range(SMALL)] == [200] * SMALL
        meanwhile = sum(each.done() for each in others) - before
    assert {each.result() for each in others} <= {200, 429, 504}
    assert meanwhile < SMALL // 2, "small images waited for others"
