"""A limit of memory that an image hits: it is refused, and the next is answered."""

from pathlib import Path
from resource import RLIMIT_DATA

import pytest
from PIL import Image

from support.pictures import encoded, jpeg
from support.problems import problem_of
from support.servers import StartServer
from support.shortage import at_most, written_memory
from support.wire import WireAnswer, exchange, post
from support.workers import start_workers

pytestmark = pytest.mark.leg("faults of the machine")

ROOM = 64_000_000  # bytes
SIDE = 6900  # pixels: 48 megapixels, of four bytes each, which leave no room for anything


@pytest.fixture(scope="module")
def huge() -> bytes:
    """A PNG of some hundred kilobytes that takes hundreds of megabytes."""
    return encoded(Image.new("RGBA", (SIDE, SIDE)), "PNG", compress_level=1)


def assert_full(answer: WireAnswer) -> None:
    problem = problem_of(answer.status, answer.headers, answer.body)
    assert (answer.status, problem.code) == (429, "overloaded")
    assert problem.detail == "not enough memory for this image: send it again later"
    assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.accept
def test_the_image_that_has_no_room_is_refused_and_the_next_is_answered(
    serve: StartServer, fake_bundle: Path, huge: bytes
) -> None:
    server = serve("--engine", "fake", "--bundle", str(fake_bundle))
    pid = server.process.pid
    assert exchange(server.url, post(huge)).status == 200
    with at_most(pid, RLIMIT_DATA, written_memory(pid) + ROOM):
        assert_full(exchange(server.url, post(huge)))
        for _ in range(20):
            assert exchange(server.url, post(jpeg(250))).status == 200
    assert exchange(server.url, post(huge)).status == 200
    assert any("not enough memory for an image" in line for line in server.log)


@pytest.mark.accept
def test_an_engine_that_has_no_room_says_so_through_its_workers(
    fake_bundle: Path, huge: bytes
) -> None:
    workers = start_workers(1, "--engine", "fake", "--bundle", str(fake_bundle))
    try:
        engine = workers.engine
        with at_most(engine, RLIMIT_DATA, written_memory(engine) + ROOM):
            assert_full(exchange(workers.url, post(huge)))
            assert exchange(workers.url, post(jpeg(250))).status == 200
        assert exchange(workers.url, post(huge)).status == 200
        assert workers.engine == engine
    finally:
        assert workers.server.stop() == 0
