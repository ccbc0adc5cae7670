"""A long body goes from the socket into its buffer, past the parser, and nothing else changes."""

import gc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from greengrocer.imaging.decode import Picture
from greengrocer.serving import memory
from greengrocer.serving.admission import Admission, AdmissionLimits
from greengrocer.serving.classifier import LocalClassifier
from greengrocer.web.body.upload import UploadLimits
from greengrocer.web.receive_buffer import ReceiveBuffer
from greengrocer.web.spare_memory import SpareMemory
from greengrocer.web.wire.direct_read import DirectRead
from support.forms import FORM, form, part
from support.live import MEGA, Live, live, make_service
from support.make_images import jpeg
from support.problems import problem_of
from support.waiting import SECONDS, until
from support.wire import Wire, head, post

LARGE = jpeg(250).ljust(3_000_000, b"\0")
MOST = len(LARGE)
LIVEZ = head("GET", "/livez")


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The bytes of each direct read."""
    found: list[int] = []
    updated = DirectRead.buffer_updated

    def note(self: DirectRead, nbytes: int) -> None:
        found.append(nbytes)
        updated(self, nbytes)

    monkeypatch.setattr(DirectRead, "buffer_updated", note)
    return found


@pytest.fixture
def server(fake_bundle: Path) -> Iterator[Live]:
    """A server of this process, for images of 3 MB."""
    limits = UploadLimits(MOST, SECONDS, 1)
    with live(replace(make_service(fake_bundle), upload_limits=limits)) as found:
        yield found
    assert uploaded(found) == 0


def uploaded(server: Live) -> int:
    """The bytes in flight."""
    return server.service.admission.bytes_in_flight


def posted_form(image: bytes, target: str = "/predict") -> bytes:
    body = form(part(b"text", "comment"), part(image), part(b"more", "comment"))
    lines = (f"Content-Type: {FORM}", f"Content-Length: {len(body)}")
    return head("POST", target, *lines) + body


@pytest.mark.parametrize("step", [None, 1_000_000, 70_000])
@pytest.mark.parametrize("sent", [post, posted_form], ids=["raw", "form"])
def test_a_long_body_and_the_requests_behind_it_are_answered(
    server: Live, reads: list[int], sent: Callable[[bytes], bytes], step: int | None
) -> None:
    request = (sent(LARGE) + LIVEZ) * 2 + sent(jpeg(250))
    with Wire(server.url) as wire:
        for start in range(0, len(request), step or len(request)):
            wire.send(request[start : start + (step or len(request))])
        bodies = []
        for _ in range(2):
            answer = wire.answer()
            assert answer.status == 200
            bodies.append(answer.body.partition(b'"request_id"')[0])
            assert b"alive" in wire.answer().body
        assert wire.answer().status == 200
    assert bodies[0] == bodies[1]
    assert sum(reads) > len(LARGE)


def test_an_image_has_the_memory_of_the_one_before_until_the_process_is_idle(
    server: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[bool] = []
    spares: list[SpareMemory] = []
    lend = SpareMemory.lend

    def note(self: SpareMemory, least: int, wanted: int) -> bytearray | None:
        spares.append(self)
        block = lend(self, least, wanted)
        taken.append(block is not None)
        return block

    monkeypatch.setattr(SpareMemory, "lend", note)
    monkeypatch.setattr(memory, "QUIET_SECONDS", 0.01)
    with Wire(server.url) as wire:
        for _ in range(2):
            assert wire.send(post(LARGE)).answer().status == 200
    assert taken[-1]
    assert not any(taken[:-1])
    until(lambda: not spares[0].kept)


def test_memory_that_is_read_after_the_answer_is_not_given_to_another(server: Live) -> None:
    read: list[Picture] = []
    classifier = cast("LocalClassifier", server.service.classifier)
    # as a comparison does
    classifier.answered = lambda picture, *_: read.append(picture)
    images = [jpeg(level).ljust(MOST, bytes([level])) for level in (250, 10)]
    with Wire(server.url) as wire:
        for image in images:
            assert wire.send(post(image)).answer().status == 200
    until(lambda: len(read) == len(images))
    assert [bytes(each) for each in read] == images


def test_a_batch_is_read_directly_too(server: Live, reads: list[int]) -> None:
    body = form(*[part(LARGE)] * 3, part(LARGE + b"x"), part(jpeg(250)))
    headers = {"Content-Type": FORM}
    with server.client() as client:
        lines = client.post("/predict/batch", content=body, headers=headers).text.splitlines()
    assert [("code" in line, "too-many-bytes" in line) for line in lines] == [
        *[(False, False)] * 3,
        (True, True),
        (False, False),
    ]
    assert sum(reads) > 2 * len(LARGE)


def test_what_has_come_is_counted(server: Live, reads: list[int]) -> None:
    whole = post(LARGE)
    with Wire(server.url) as wire:
        body = whole.index(b"\r\n\r\n") + 4
        wire.send(whole[: body + 700_000])
        until(lambda: uploaded(server) == 700_000)
        wire.send(whole[body + 700_000 :])
        assert wire.answer().status == 200
    assert sum(reads) > 2_000_000


def test_a_client_that_disconnects_within_a_direct_read_leaves_nothing(
    server: Live, reads: list[int]
) -> None:
    with Wire(server.url) as wire:
        wire.send(post(LARGE)[:1_000_000])
        until(lambda: uploaded(server) > 900_000)
    until(lambda: uploaded(server) == 0)
    assert sum(reads) > 500_000


def test_a_client_that_is_too_slow_within_a_direct_read_gets_the_answer(
    fake_bundle: Path, reads: list[int]
) -> None:
    slow = replace(make_service(fake_bundle), upload_limits=UploadLimits(MOST, 1.0, 1e9))
    with live(slow) as server, Wire(server.url) as wire:
        answer = wire.send(post(LARGE)[:1_000_000]).answer()
        assert problem_of(answer.status, answer.headers, answer.body).code == "slow-upload"
        assert answer.headers["connection"] == "close"
    assert sum(reads) > 500_000


def test_a_client_that_exceeds_the_limits_within_a_direct_read_gets_the_answer(
    fake_bundle: Path, reads: list[int]
) -> None:
    admission = Admission(AdmissionLimits(MEGA, wait_seconds=3.0), 1, 0.01)
    service = replace(make_service(fake_bundle), admission=admission)
    with live(service) as server, Wire(server.url) as wire:
        answer = wire.send(post(LARGE)).answer()
        assert problem_of(answer.status, answer.headers, answer.body).code == "overloaded"
        assert wire.closed()
    assert 500_000 < sum(reads) < len(LARGE)


def test_after_expect_a_long_body_is_read_directly(server: Live, reads: list[int]) -> None:
    request = post(LARGE, "Expect: 100-continue")
    with Wire(server.url) as wire:
        body = request.index(b"\r\n\r\n") + 4
        wire.send(request[:body])
        assert wire.line().startswith(b"HTTP/1.1 100 ")
        assert wire.line() == b"\r\n"
        assert wire.send(request[body:]).answer().status == 200
    assert sum(reads) > 2_000_000


def test_an_idle_connection_keeps_no_body(server: Live, reads: list[int]) -> None:
    with Wire(server.url) as wire:
        assert wire.send(post(LARGE)).answer().status == 200
        assert sum(reads) > 2_000_000
        assert wire.send(LIVEZ).answer().status == 200
        gc.collect()
        assert not [each for each in gc.get_objects() if type(each) is ReceiveBuffer]
        assert not [each for each in gc.get_objects() if holds_body(each)]


def holds_body(each: object) -> bool:
    return type(each) is DirectRead and each._buffer is not None
