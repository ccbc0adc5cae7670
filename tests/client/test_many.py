"""``predict_many``: in order, with a bounded number of requests and of images in memory."""

import gc
import io
import socket
import threading
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from PIL import Image

from greengrocer_client import (
    Answer,
    AsyncClient,
    ImageRefused,
    Overloaded,
    Refusal,
    Unauthorized,
    Unreachable,
)
from support.clients import AnyClient
from support.make_images import jpeg
from support.replies import BODY, Reply, replying, replying_by
from support.servers import Server
from support.waiting import SECONDS

AT_ONCE = 3
LEVELS = (89, 191, 10, 245, 115)  # of these the fake engine says grey-3, grey-7, ...
FULL = {"code": "overloaded", "detail": "full"}


def names(answers: list[Answer | Refusal]) -> list[str]:
    """The prediction of each answer, the code of each refusal."""
    return [each.prediction if isinstance(each, Answer) else each.code for each in answers]


def test_answers_and_refusals_are_in_order(
    client_of: AnyClient, fake_server: Server, tmp_path: Path
) -> None:
    images: list[bytes | Path] = [*map(jpeg, LEVELS), b"no image", tmp_path / "none.jpg", jpeg(89)]
    with client_of(fake_server.url) as client:
        answers = [*client.predict_many(images, at_once=AT_ONCE, top=1)]
    greys = ["grey-3", "grey-7", "grey-0", "grey-9", "grey-4"]
    assert names(answers) == [*greys, "unreadable-image", "unreadable-image", "grey-3"]
    assert all(len(each.top) == 1 for each in answers if isinstance(each, Answer))


def test_a_damaged_pillow_image_is_refused_alone(
    client_of: AnyClient, fake_server: Server, tmp_path: Path
) -> None:
    """Pillow finds a damage when it decodes: here, when the client encodes the image."""
    (tmp_path / "cut.jpg").write_bytes(jpeg(89, (900, 600))[:-400])
    for side in (None, 300):
        with (
            Image.open(io.BytesIO(jpeg(89))) as sound,
            Image.open(tmp_path / "cut.jpg") as damaged,
            client_of(fake_server.url, max_side=side) as client,
        ):
            answers = [*client.predict_many([sound, damaged, jpeg(191)])]
        assert names(answers) == ["grey-3", "unreadable-image", "grey-7"]
        assert isinstance(answers[1], ImageRefused)
        assert str(answers[1]).startswith(f"{tmp_path / 'cut.jpg'}: image file is truncated")


def test_no_image_gives_no_answer(client_of: AnyClient, fake_server: Server) -> None:
    with client_of(fake_server.url) as client:
        assert [*client.predict_many([])] == []


def test_requests_are_as_many_at_once_as_allowed_and_images_are_taken_as_needed(
    client_of: AnyClient,
) -> None:
    """A reply is held until so many requests are there: fewer at once would hang, more be seen."""
    together = threading.Barrier(AT_ONCE)
    lock, working, most = threading.Lock(), [0], [0]

    def gather() -> None:
        with lock:
            working[0] += 1
            most[0] = max(most[0], working[0])
        together.wait(SECONDS)
        with lock:
            working[0] -= 1

    taken = 0

    def images() -> Iterator[bytes]:
        nonlocal taken
        for _ in range(10 * AT_ONCE):
            taken += 1
            yield jpeg(89)

    with (
        replying(Reply(body=BODY, before=gather)) as server,
        client_of(server.url, timeout=SECONDS) as client,
    ):
        for done, answer in enumerate(client.predict_many(images(), at_once=AT_ONCE)):
            assert isinstance(answer, Answer)
            assert taken - done <= 2 * AT_ONCE
    assert taken == len(server.sent) == 10 * AT_ONCE
    # a request may come before the handler of one that was answered has counted itself out
    assert AT_ONCE <= most[0] <= 2 * AT_ONCE


def test_one_that_finds_no_place_leaves_the_others(client_of: AnyClient) -> None:
    def reply(number: int) -> Reply:
        return Reply(429, FULL, {"Retry-After": "3600"}) if number == 1 else Reply(body=BODY)

    with replying_by(reply) as server, client_of(server.url) as client:
        answers = [*client.predict_many([jpeg(89)] * 4, at_once=1)]
    assert names(answers) == ["lime", "overloaded", "lime", "lime"]
    assert isinstance(answers[1], Overloaded)
    assert answers[1].__traceback__ is None  # or it would keep the image in memory


def test_refusals_by_time_out_hold_no_image(client_of: AnyClient) -> None:
    images, size = 8, 4 << 20
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        client_of(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=0.2) as client,
    ):
        tracemalloc.start()
        try:
            sent = (bytes(size) for _ in range(images))
            refusals = [*client.predict_many(sent, at_once=2)]
            gc.collect()
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert names(refusals) == ["deadline-exceeded"] * images
    assert held < size


@pytest.mark.parametrize(
    ("reply", "error"),
    [(Reply(401, {"code": "unauthorized"}), Unauthorized), (Reply(0), Unreachable)],
    ids=["key", "connection"],
)
def test_what_holds_for_all_images_ends_it(
    reply: Reply, error: type[Exception], client_of: AnyClient
) -> None:
    with (
        replying(Reply(body=BODY), reply) as server,
        client_of(server.url, attempts=1) as client,
    ):
        answers = client.predict_many([jpeg(89)] * 100, at_once=1)
        next(answers)
        with pytest.raises(error):
            next(answers)
        assert len(server.sent) < 10


def test_a_caller_may_stop_early(client_of: AnyClient, fake_server: Server) -> None:
    with client_of(fake_server.url) as client:
        for answer in client.predict_many((jpeg(level) for level in LEVELS), at_once=2):
            assert isinstance(answer, Answer)
            break
        assert client.predict(jpeg(89)).prediction == "grey-3"


@pytest.mark.anyio
async def test_images_may_come_asynchronously(fake_server: Server) -> None:
    async def images() -> AsyncIterator[bytes]:
        for level in LEVELS[:2]:
            yield jpeg(level)
        yield b"no image"

    async with AsyncClient(fake_server.url) as client:
        answers = [answer async for answer in client.predict_many(images())]
    assert names(answers) == ["grey-3", "grey-7", "unreadable-image"]
    assert isinstance(answers[2], ImageRefused)
