"""An answer counts as bytes in flight until its client read it or disconnected."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.forms import FORM, form, part
from support.generous import Generous, generous_service
from support.live import MEGA, Live, live
from support.make_images import jpeg
from support.problems import problem_of
from support.tensors import asking, binary, image, infer, packed
from support.waiting import until
from support.wire import Wire, exchange, head, post

GREY = jpeg(5)
MUCH = 20 * MEGA  # bytes of an answer: more than the sockets hold
IDS = 256


def batch(count: int) -> bytes:
    """A request with so many images, the last of its connection."""
    body = form(*[part(GREY)] * count)
    lines = (f"Content-Type: {FORM}", f"Content-Length: {len(body)}", "Connection: close")
    return head("POST", "/predict/batch?explain=true", *lines) + body


REQUESTS: dict[str, Callable[[], bytes]] = {
    "/predict": lambda: post(GREY, target="/predict?explain=true"),
    "/explain": lambda: post(GREY, target="/explain"),
    "/predict/batch": lambda: batch(1),
    "/v2": lambda: infer(asking(image(GREY), outputs=[{"name": "evidence"}])),
}


def used(server: Live) -> int:
    """Bytes in flight."""
    return server.service.admission.bytes_in_flight


@contextmanager
def generous(
    bundle: Path,
    size: int = MUCH,
    room: int = 256 * MEGA,
    shares: Mapping[str, float] | None = None,
) -> Iterator[Live]:
    """A service whose answers have so many bytes, with room for so many."""
    with live(generous_service(bundle, size, room, shares)) as server:
        yield server


@pytest.fixture
def server(fake_bundle: Path) -> Iterator[Live]:
    """A service of large answers, with the usual room."""
    with generous(fake_bundle) as server:
        yield server


@pytest.mark.parametrize("route", REQUESTS)
def test_an_answer_counts_until_its_client_has_read_it(server: Live, route: str) -> None:
    with Wire(server.url) as wire:
        wire.send(REQUESTS[route]())
        until(lambda: used(server) >= MUCH)
        if route == "/predict/batch":
            assert len(wire.rest()) > MUCH
        else:
            assert len(wire.answer().body) >= MUCH
        until(lambda: used(server) == 0)


@pytest.mark.parametrize("route", REQUESTS)
def test_an_answer_counts_until_its_client_disconnects(server: Live, route: str) -> None:
    with Wire(server.url) as wire:
        wire.send(REQUESTS[route]())
        until(lambda: used(server) >= MUCH)
    until(lambda: used(server) == 0)


@pytest.mark.parametrize("limit", [1.0, 0.125], ids=["of all models", "of the model"])
@pytest.mark.parametrize("route", [route for route in REQUESTS if route != "/predict/batch"])
def test_an_answer_without_room_is_refused(fake_bundle: Path, route: str, limit: float) -> None:
    room, shares = int(MEGA / limit), {"greys": limit}
    with generous(fake_bundle, size=2 * MEGA, room=room, shares=shares) as server:
        answer = exchange(server.url, REQUESTS[route]())
        assert answer.status == 429
        if route == "/v2":
            assert json.loads(answer.body) == {
                "error": "the memory for uploads is full: send the request again later"
            }
        else:
            assert problem_of(429, answer.headers, answer.body).code == "overloaded"
        until(lambda: used(server) == 0)
        assert exchange(server.url, post(GREY)).status == 200


def test_lines_without_room_become_refusals(fake_bundle: Path) -> None:
    with generous(fake_bundle, room=MUCH * 5 // 2) as server, Wire(server.url) as wire:
        classifier = server.service.classifier
        assert isinstance(classifier, Generous)

        def wait_no_longer(count: int) -> None:
            # An image may take its time; a line without room is to wait for a moment only.
            if count == 3:
                object.__setattr__(server.service, "deadline", 0.01)

        classifier.then = wait_no_longer
        wire.send(batch(3))
        refused = server.service.metrics.rejections.labels("overloaded")
        until(lambda: refused._value.get() > 0)
        lines = [line for line in wire.rest().splitlines() if line.startswith(b'{"index"')]
        told = [json.loads(line) for line in lines]
        assert [line["index"] for line in told] == [0, 1, 2]
        assert "prediction" in told[0]
        assert "overloaded" in [line.get("code") for line in told]
        until(lambda: used(server) == 0)


@pytest.mark.parametrize("length", [IDS, IDS + 1])
def test_an_id_is_limited_to_256_characters(server: Live, length: int) -> None:
    answer = exchange(server.url, infer(asking(image(GREY), id="é" * length)))
    assert answer.status == (200 if length == IDS else 400)
    if length > IDS:
        assert answer.body == b'{"error":"id has over 256 characters"}'


def test_an_id_before_binary_data_has_the_same_limit(server: Live) -> None:
    tail = packed(GREY)
    request = asking(binary("image", "BYTES", [1], len(tail)), id="x" * 10_000_000)
    assert exchange(server.url, infer(request, tail)).status == 400
