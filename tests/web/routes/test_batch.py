"""``POST /predict/batch``: many images, one line each."""

import asyncio
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from greengrocer.context import Context
from greengrocer.errors import ClientDisconnected, RateLimited
from greengrocer.serving.admission import Admission, AdmissionLimits
from greengrocer.web.body.upload import UploadLimits
from greengrocer.web.routes.classify import _charged
from greengrocer.web.schemas import PredictionLine, ProblemLine
from greengrocer.web.service import Service
from support.engines import HeldEngine
from support.forms import FORM, form, part
from support.live import MEGA, FailingEngine, Live, engine_of, live, make_service
from support.make_images import encoded, jpeg, photo
from support.waiting import SECONDS, until
from support.wire import Wire, exchange, head, post
from support.workers import start_workers

Lines = list[dict[str, Any]]


def batch(body: bytes, *headers: str, query: str = "") -> bytes:
    """A whole request."""
    lines = (f"Content-Type: {FORM}", f"Content-Length: {len(body)}", *headers)
    return head("POST", f"/predict/batch{query}", *lines) + body


def answered(url: str, body: bytes, *headers: str, query: str = "") -> Lines:
    """The lines of the answer, each as its published model has it."""
    with httpx.Client(base_url=url, timeout=SECONDS) as client:
        given = {"Content-Type": FORM, **dict(line.split(": ") for line in headers)}
        response = client.post(f"/predict/batch{query}", content=body, headers=given)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in response.text.splitlines()]
    for index, line in enumerate(lines):
        model = PredictionLine if "prediction" in line else ProblemLine
        assert model.model_validate(line).index == index
        assert line["request_id"] == response.headers["x-request-id"]
    return lines


def said(lines: Lines) -> list[str]:
    """What each line says in a word: a class, or the code of a problem."""
    return [line.get("prediction") or line["code"] for line in lines]


def idle(service: Service) -> bool:
    """Whether nothing is held for any request."""
    return service.admission.pictures == 0 and service.admission.bytes_in_flight == 0


@pytest.fixture
def held(fake_bundle: Path) -> Iterator[Live]:
    """A service whose one thread waits in the engine until the test lets it go on."""
    engine = engine_of(HeldEngine, fake_bundle).hold()
    with live(make_service(fake_bundle, engine)) as running:
        yield running
        engine.release.set()


def engine_behind(running: Live) -> HeldEngine:
    engine = running.service.classifier.models.current.engine  # type: ignore[attr-defined]
    assert isinstance(engine, HeldEngine)
    return engine


@contextmanager
def limited(bundle: Path, threads: int = 1, **limits: Any) -> Iterator[Live]:
    """A service that takes less than usual, of what ``limits`` name."""
    service = make_service(bundle, threads=threads)
    usual = {"upload_bytes": 256 * MEGA, "wait_seconds": SECONDS}
    admission = AdmissionLimits(**{name: limits.pop(name, value) for name, value in usual.items()})
    uploads = UploadLimits(**{"image_bytes": 20 * MEGA, "grace": 10, "rate": 8192, **limits})
    with live(
        replace(service, admission=Admission(admission, threads, 0.01), upload_limits=uploads)
    ) as running:
        yield running
        assert until(lambda: idle(running.service))


def test_every_line_is_what_predict_answers(client: httpx.Client) -> None:
    pictures = [jpeg(5), b"", jpeg(250), b"a pear", encoded(photo(1), "WEBP"), jpeg(9)[:300]]
    body = form(part(b"x" * 999, "comment"), *map(part, pictures))
    lines = answered(str(client.base_url), body, query="?top=2&explain=true")
    assert len(lines) == len(pictures)
    for line, picture in zip(lines, pictures, strict=True):
        alone = client.post("/predict?top=2&explain=true", files={"file": picture}).json()
        for key in ("request_id", "index", "instance"):
            line.pop(key, None)
            alone.pop(key, None)
        assert line == alone


def test_an_answer_is_sent_while_the_form_is_still_arriving(held: Live) -> None:
    first, second = part(jpeg(5)), form(part(jpeg(250)))
    start = batch(first + second)[: -len(second) + 20]
    with Wire(held.url) as wire:
        wire.send(start)
        engine_behind(held).release.set()
        while b'"grey-0"' not in wire.line():
            pass
        wire.send(second[20:])
        assert b'"index":1,"prediction":"grey-9"' in wire.rest()


def test_a_client_that_sends_all_before_it_reads_gets_every_line(client: httpx.Client) -> None:
    with Wire(str(client.base_url)) as wire:
        wire.send(batch(form(*[part(jpeg(5))] * 1000), "Connection: close", query="?explain=true"))
        assert wire.rest().count(b'"grey-0","confidence"') >= 1000


def test_memory_is_reserved_for_a_few_images_only(fake_bundle: Path) -> None:
    picture = encoded(photo(1, (600, 600)), "PNG")
    with limited(fake_bundle, upload_bytes=5 * len(picture)) as running:
        lines = answered(running.url, form(*[part(picture)] * 40))
        assert len(set(said(lines))) == 1
        assert "overloaded" not in said(lines)


def test_an_image_of_a_batch_waits_for_a_place(fake_bundle: Path) -> None:
    with limited(fake_bundle, threads=3, wait_seconds=0) as running:
        assert said(answered(running.url, form(*[part(jpeg(5))] * 4))) == ["grey-0"] * 4


def test_a_waiting_image_is_not_overtaken(held: Live) -> None:
    one_place = AdmissionLimits(256 * MEGA, wait_seconds=0)
    admission = Admission(one_place, 1, 1.0)
    with live(replace(held.service, admission=admission)) as running, Wire(running.url) as wire:
        wire.send(batch(form(*[part(jpeg(5))] * 3), "Connection: close"))
        assert engine_behind(held).busy.wait(SECONDS)
        assert until(lambda: admission.retry_after() >= 2)  # one works, the next stands in line
        alone = exchange(running.url, post(jpeg(250)))
        assert alone.status == 429
        assert int(alone.headers["retry-after"]) >= 2
        engine_behind(held).release.set()
        assert wire.rest().count(b'"prediction":"grey-0"') == 3
        assert until(lambda: idle(running.service))


def test_a_disconnected_client_leaves_the_queue(held: Live) -> None:
    admission = Admission(AdmissionLimits(256 * MEGA, wait_seconds=0), 1, 1.0)
    with live(replace(held.service, admission=admission)) as running:
        with Wire(running.url) as wire:
            wire.send(batch(form(*[part(jpeg(5))] * 3)))
            assert engine_behind(held).busy.wait(SECONDS)
            assert until(lambda: admission.retry_after() >= 2)
        assert until(lambda: admission.retry_after() <= 1)
        engine_behind(held).release.set()
        assert until(lambda: idle(running.service))


def ended_quietly(logs: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the log of the one request says that it ended, and nothing of a failure."""
    until(lambda: "request" in [line["event"] for line in logs])
    return all(line["log_level"] == "info" for line in logs)


def test_a_form_of_a_disconnected_client_waits_for_no_memory(fake_bundle: Path) -> None:
    first, rest = part(jpeg(5)), form(part(jpeg(250)))
    admission = Admission(AdmissionLimits(MEGA, wait_seconds=SECONDS), 1, 0.01)
    service = make_service(fake_bundle)
    service = replace(service, admission=admission, deadline=1e6, access_log=True)
    with capture_logs() as logs, live(service) as running, admission.reserve_bytes() as others:
        with Wire(running.url) as wire:
            wire.send(batch(first + rest)[: -len(rest) + 20])
            while b'"grey-0"' not in wire.line():
                pass
            others.grow(MEGA - admission.bytes_in_flight)
            wire.send(rest[20:])
            assert until(lambda: admission.uploads_waiting)
        assert until(lambda: not admission.uploads_waiting)
        others.shrink(others.size)
        assert until(lambda: idle(running.service))
        assert ended_quietly(logs)


def test_an_answer_for_a_disconnected_client_waits_for_no_memory(fake_bundle: Path) -> None:
    small = encoded(photo(1, (8, 8)), "WEBP")
    first, rest = part(small), form(part(small))
    engine = engine_of(HeldEngine, fake_bundle).hold()
    engine.release.set()
    admission = Admission(AdmissionLimits(MEGA, wait_seconds=SECONDS), 1, 0.01)
    service = make_service(fake_bundle, engine)
    service = replace(service, admission=admission, deadline=1e6, access_log=True)
    with capture_logs() as logs, live(service) as running, admission.reserve_bytes() as others:
        with Wire(running.url) as wire:
            wire.send(batch(first + rest, query="?top=10")[: -len(rest) + 20])
            while b'"index":0' not in (answer := wire.line()):
                pass
            assert len(answer) > 2 * len(small)  # so the memory of the image is too little for it
            engine.release.clear()
            engine.busy.clear()
            wire.send(rest[20:])
            assert engine.busy.wait(SECONDS)
            others.grow(MEGA - admission.bytes_in_flight)
            engine.release.set()
            assert until(lambda: admission.uploads_waiting)
        assert until(lambda: not admission.uploads_waiting)
        others.shrink(others.size)
        assert until(lambda: idle(running.service))
        assert ended_quietly(logs)


def test_a_form_that_waits_for_memory_ends_at_the_clients_deadline(fake_bundle: Path) -> None:
    first, rest = part(jpeg(5)), form(part(jpeg(250)))
    admission = Admission(AdmissionLimits(MEGA, wait_seconds=SECONDS), 1, 0.01)
    service = replace(make_service(fake_bundle), admission=admission, deadline=1e6)
    with live(service) as running, admission.reserve_bytes() as others:
        with Wire(running.url) as wire:
            wire.send(batch(first + rest, "X-Deadline-Ms: 1000")[: -len(rest) + 20])
            while b'"grey-0"' not in wire.line():
                pass
            others.grow(MEGA - admission.bytes_in_flight)
            wire.send(rest[20:])
            lines = wire.rest()
        assert b'"index":1,"type":"urn:greengrocer:problem:deadline-exceeded"' in lines
        assert until(lambda: admission.bytes_in_flight == others.size)


@pytest.mark.parametrize("index", [0, 1])
def test_an_answer_that_waits_for_memory_ends_at_the_clients_deadline(
    fake_bundle: Path, index: int
) -> None:
    small = encoded(photo(1, (8, 8)), "WEBP")
    engine = engine_of(HeldEngine, fake_bundle).hold()
    admission = Admission(AdmissionLimits(MEGA, wait_seconds=SECONDS), 1, 0.01)
    service = replace(make_service(fake_bundle, engine), admission=admission, deadline=1e6)
    with live(service) as running, admission.reserve_bytes() as others, Wire(running.url) as wire:
        images, last = [part(small)] * index, form(part(small))
        deadline = "X-Deadline-Ms: 2000", "Connection: close"
        start = batch(b"".join(images) + last, *deadline, query="?top=10")[: -len(last) + 20]
        wire.send(start)
        if index:
            engine.release.set()
            while b'"index":0' not in wire.line():
                pass
            engine.release.clear()
            engine.busy.clear()
        wire.send(last[20:])
        assert engine.busy.wait(SECONDS)
        others.grow(MEGA - admission.bytes_in_flight)
        engine.release.set()
        assert f'"index":{index},"type":"urn:greengrocer:problem:deadline-exceeded"'.encode() in (
            wire.rest()
        )


@pytest.mark.anyio
async def test_a_disconnected_client_waits_for_no_rate_limit() -> None:
    async def charge() -> None:
        raise RateLimited("too many requests", 1_000_000)

    context = Context(seconds=2e6)
    waiting = asyncio.create_task(_charged(charge, context))
    await asyncio.sleep(0)
    context.cancel()
    with pytest.raises(ClientDisconnected):
        await waiting


def test_if_the_first_image_gets_no_place_the_batch_is_refused(fake_bundle: Path) -> None:
    with limited(fake_bundle, wait_seconds=-1) as running:
        refused = exchange(running.url, batch(form(part(jpeg(5)), part(jpeg(5)))))
        assert (refused.status, json.loads(refused.body)["code"]) == (429, "overloaded")
        assert int(refused.headers["retry-after"]) >= 1


def test_too_large_an_image_is_refused_in_its_line(fake_bundle: Path) -> None:
    with limited(fake_bundle, image_bytes=5000) as running:
        parts = [part(jpeg(5)), part(bytes(300_000)), part(jpeg(250))]
        assert said(answered(running.url, form(*parts))) == ["grey-0", "too-many-bytes", "grey-9"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (part(jpeg(5)) + part(jpeg(250))[:200], "malformed-upload"),
        (part(jpeg(5)) + form(*[part(b"", "other")] * 105), "malformed-upload"),
        (form(*[part(jpeg(5))] * 5), "repeated-field"),
        (form(part(jpeg(5)), part(bytes(300_000), "other")), "too-many-bytes"),
    ],
)
def test_a_form_refused_midway_ends_with_a_line_with_the_reason(
    fake_bundle: Path, body: bytes, code: str
) -> None:
    def chunks() -> Iterator[bytes]:  # without a length, which would be refused at once
        yield body[:-100]
        yield body[-100:]

    with limited(fake_bundle, images=4, request_bytes=200_000) as running:
        words = said(answered(running.url, chunks()))  # type: ignore[arg-type]
        assert words[0] == "grey-0"
        assert words[1:] in ([code], ["grey-0"] * 3 + [code])


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        (batch(form(part(jpeg(5), "picture"))), 422, "missing-field"),
        (batch(form(part(jpeg(5))), query="?top=0"), 422, "parameter-out-of-range"),
        (batch(form(part(jpeg(5))), "X-Deadline-Ms: soon"), 422, "parameter-out-of-range"),
        (batch(part(jpeg(5))[:60]), 400, "malformed-upload"),
        (batch(b"x" * 200_000), 400, "malformed-upload"),
        (batch(b"").replace(b"=frontier", b"="), 400, "malformed-upload"),
        (
            batch(b"").replace(b"multipart/form-data", b"image/jpeg"),
            415,
            "unsupported-content-type",
        ),
        (batch(form(part(jpeg(5))), "Content-Encoding: gzip"), 415, "unsupported-content-type"),
        (batch(b"").replace(b"Length: 0", b"Length: 600000000"), 413, "too-many-bytes"),
    ],
)
def test_an_error_of_the_request_itself_is_its_status(
    client: httpx.Client, request_: bytes, status: int, code: str
) -> None:
    refused = exchange(str(client.base_url), request_)
    assert (refused.status, json.loads(refused.body)["code"]) == (status, code)
    assert refused.headers["content-type"] == "application/problem+json"


def test_the_clients_deadline_applies_to_every_image(held: Live) -> None:
    lines = answered(held.url, form(*[part(jpeg(5))] * 4), "X-Deadline-Ms: 200")
    assert set(said(lines)) == {"deadline-exceeded"}
    assert [line["status"] for line in lines] == [504] * len(lines)


@pytest.mark.parametrize("rate", [1e9, 1e-3])  # what came fast buys no silence
def test_a_client_that_stops_sending_gets_a_line_with_the_reason(
    fake_bundle: Path, rate: float
) -> None:
    with limited(fake_bundle, grace=0.5, rate=rate) as running, Wire(running.url) as wire:
        wire.send(batch(form(part(jpeg(5)), part(jpeg(250))))[:-300])
        lines = wire.rest()
        assert b'"index":0,"prediction":"grey-0"' in lines
        assert b'"index":1,"type":"urn:greengrocer:problem:slow-upload"' in lines


def test_time_in_which_the_service_does_not_read_is_not_charged_to_the_client(
    fake_bundle: Path,
) -> None:
    engine = engine_of(HeldEngine, fake_bundle).hold()
    picture = encoded(photo(1, (1000, 1000)), "PNG")
    body = form(*[part(picture)] * 50)
    assert len(body) > 20 * MEGA  # more than the sockets hold
    uploads = UploadLimits(20 * MEGA, grace=0.5, rate=MEGA)
    service = replace(make_service(fake_bundle, engine), upload_limits=uploads)
    with live(service) as running, ThreadPoolExecutor() as pool:
        lines = pool.submit(answered, running.url, body)
        assert engine.busy.wait(SECONDS)
        time.sleep(1)  # twice the grace
        engine.release.set()
        assert len(set(said(lines.result(SECONDS)))) == 1
        assert "prediction" in lines.result()[-1]


def test_nothing_is_computed_for_a_disconnected_client(held: Live) -> None:
    engine = engine_behind(held)
    with Wire(held.url) as wire:
        wire.send(batch(form(*[part(jpeg(5))] * 9)))
        assert engine.busy.wait(SECONDS)
    assert exchange(held.url, head("GET", "/livez")).status == 200  # it has seen the other's end
    engine.release.set()
    assert until(lambda: idle(held.service))
    assert engine.calls == 1


def test_a_failure_is_a_line_without_internals(fake_bundle: Path) -> None:
    with live(make_service(fake_bundle, engine_of(FailingEngine, fake_bundle))) as running:
        lines = answered(running.url, form(*[part(jpeg(5))] * 3))
    assert [line["status"] for line in lines] == [500] * 3
    assert FailingEngine.SECRET not in json.dumps(lines)


@pytest.mark.accept
def test_an_engine_process_answers_a_batch_the_same(fake_bundle: Path) -> None:
    workers = start_workers(2, "--bundle", str(fake_bundle), "--engine", "fake")
    try:
        levels = [k % 10 for k in range(50)]
        pictures = [part(jpeg(int((level + 0.5) * 25.5))) for level in levels]
        lines = answered(workers.url, form(*pictures, part(b"a pear")))
        assert said(lines) == [*(f"grey-{level}" for level in levels), "unreadable-image"]
    finally:
        assert workers.server.stop() == 0
