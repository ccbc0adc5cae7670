"""``X-Deadline-Ms``: late and abandoned requests are never computed."""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from support.engines import HeldEngine
from support.live import Live, live, make_service
from support.make_images import jpeg
from support.problems import problem_of
from support.waiting import until
from support.wire import Wire, WireAnswer, post

DARK, LIGHT = jpeg(5), jpeg(250)
SOON = "X-Deadline-Ms: 50"
LATE = f"X-Deadline-Ms: {10**400}"


def too_late(answer: WireAnswer) -> bool:
    problem = problem_of(answer.status, answer.headers, answer.body)
    return (problem.status, problem.code) == (504, "deadline-exceeded")


def test_queued_requests_that_expire_never_reach_the_engine(
    held_server: Live, held_engine: HeldEngine
) -> None:
    with Wire(held_server.url) as first, ExitStack() as stack:
        first.send(post(DARK))
        assert held_engine.busy.wait(60)
        queued = [
            stack.enter_context(Wire(held_server.url)).send(post(LIGHT, SOON)) for _ in range(5)
        ]
        assert all(too_late(wire.answer()) for wire in queued)
        assert held_server.service.admission.pictures == 1  # their places are free at once
        held_engine.release.set()
        assert first.answer().status == 200
        assert first.send(post(LIGHT)).answer().status == 200  # whatever was queued has run
    assert held_engine.calls == 2


def test_queued_requests_of_disconnected_clients_never_reach_the_engine(
    held_server: Live, held_engine: HeldEngine
) -> None:
    with Wire(held_server.url) as first:
        first.send(post(DARK))
        assert held_engine.busy.wait(60)
        with ExitStack() as stack:
            for _ in range(5):
                stack.enter_context(Wire(held_server.url)).send(post(LIGHT))
            until(lambda: held_server.service.admission.pictures == 6)
        with Wire(held_server.url) as behind:  # its answer is later than the departures' arrival
            behind.send(post(LIGHT, SOON))
            assert too_late(behind.answer())
        held_engine.release.set()
        assert first.answer().status == 200
        assert first.send(post(LIGHT)).answer().status == 200
    assert held_engine.calls == 2


def test_a_slow_upload_counts_towards_the_deadline(
    held_server: Live, held_engine: HeldEngine
) -> None:
    with Wire(held_server.url) as wire:
        assert too_late(wire.send(post(LIGHT, SOON)[:-1]).answer())
        assert wire.closed()
    assert not held_engine.busy.is_set()


def test_waiting_behind_another_request_counts_towards_the_deadline(
    held_server: Live, held_engine: HeldEngine
) -> None:
    with Wire(held_server.url) as wire, Wire(held_server.url) as later:
        wire.send(post(DARK) + post(LIGHT, SOON))
        assert held_engine.busy.wait(60)
        assert too_late(later.send(post(LIGHT, SOON)).answer())  # so the one before it is, too
        held_engine.release.set()
        assert wire.answer().status == 200
        assert too_late(wire.answer())
    assert held_engine.calls == 1


def test_a_client_cannot_extend_the_services_deadline(
    fake_bundle: Path, held_engine: HeldEngine
) -> None:
    service = replace(make_service(fake_bundle, held_engine), deadline=0.05)
    with live(service) as server, Wire(server.url) as wire:
        assert too_late(wire.send(post(LIGHT, LATE)).answer())
        held_engine.release.set()


def test_a_request_within_its_deadline_is_answered(client: httpx.Client) -> None:
    for milliseconds in ("60000", "0060000", str(10**400), "9" * 5000):
        headers = {"Content-Type": "image/jpeg", "X-Deadline-Ms": milliseconds}
        assert client.post("/predict", content=LIGHT, headers=headers).status_code == 200


def test_the_deadline_is_described(client: httpx.Client) -> None:
    described: dict[str, Any] = client.get("/openapi.json").json()
    parameters = described["paths"]["/predict"]["post"]["parameters"]
    (deadline,) = [each for each in parameters if each["name"] == "X-Deadline-Ms"]
    assert deadline["in"] == "header"
    assert not deadline["required"]
    assert "504" in deadline["description"]
