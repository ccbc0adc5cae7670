"""Refusals for lack of time or room."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from greengrocer.imaging.decode import DecodeLimits
from greengrocer.serving.admission import Admission, AdmissionLimits
from greengrocer.serving.readiness import State
from greengrocer.web.body.upload import UploadLimits
from greengrocer.web.schemas import Problem
from support.engines import HeldEngine
from support.live import FailingEngine, engine_of, live, make_service, with_decode_limits
from support.make_images import jpeg
from support.problems import problem_of
from support.waiting import until
from support.wire import Wire, exchange, head, post

MEGA = 1_000_000
PLENTY = AdmissionLimits(256 * MEGA, wait_seconds=3)


def refused(response: httpx.Response) -> Problem:
    return problem_of(response.status_code, response.headers, response.content)


def predict(client: httpx.Client, picture: bytes = jpeg(5)) -> httpx.Response:
    return client.post("/predict", files={"file": picture})


def test_a_full_queue_is_a_429_with_retry_after(fake_bundle: Path) -> None:
    engine = engine_of(HeldEngine, fake_bundle).hold()
    slow = Admission(PLENTY, threads=1, service_seconds=10)
    service = replace(make_service(fake_bundle, engine), admission=slow)
    with live(service) as server, server.client() as client, ThreadPoolExecutor() as pool:
        first = pool.submit(predict, client)
        assert engine.busy.wait(60)
        second = predict(client)
        assert refused(second).code == "overloaded"
        assert second.status_code == 429
        assert second.headers["retry-after"] == "10"  # one image, ten seconds each, one thread
        engine.release.set()
        assert first.result().status_code == 200


def test_the_pace_is_learnt_from_refused_images(fake_bundle: Path) -> None:
    slow = Admission(PLENTY, threads=1, service_seconds=1000)
    service = replace(make_service(fake_bundle), admission=slow)
    with live(service) as server, server.client() as client:
        assert predict(client, b"GIF89a").status_code == 415  # no thread has seen it
        assert slow.service_seconds == 1000
        assert predict(client, jpeg(5)[:-30]).status_code == 400
        assert slow.service_seconds < 1000


def test_too_many_bytes_in_flight_are_a_429_until_released(fake_bundle: Path) -> None:
    most = AdmissionLimits(upload_bytes=10_000, wait_seconds=3)
    service = replace(make_service(fake_bundle), admission=Admission(most, 1, 0.01))
    picture = jpeg(5).ljust(6000, b"\0")
    with live(service) as server, server.client() as client:
        assert predict(client, picture).status_code == 200
        with Wire(server.url) as other:
            other.send(post(picture)[:-1])  # all but the last byte, and then nothing
            until(lambda: service.admission.bytes_in_flight == len(picture) - 1)
            response = predict(client, picture)
            assert refused(response).code == "overloaded"
            assert response.status_code == 429
            assert int(response.headers["retry-after"]) >= 1
        until(lambda: predict(client, picture).status_code == 200)
    assert service.admission.bytes_in_flight == 0


def test_a_passed_deadline_is_a_504(fake_bundle: Path) -> None:
    engine = engine_of(HeldEngine, fake_bundle).hold()
    service = replace(make_service(fake_bundle, engine), deadline=0.1)
    with live(service) as server, server.client() as client:
        response = predict(client)
        engine.release.set()
        assert response.status_code == 504
        assert refused(response).code == "deadline-exceeded"


def test_an_image_that_decodes_too_slowly_is_a_400(fake_bundle: Path) -> None:
    service = with_decode_limits(make_service(fake_bundle), DecodeLimits(seconds=1e-9))
    with live(service) as server, server.client() as client:
        response = predict(client)
        assert response.status_code == 400
        assert refused(response).code == "image-too-slow"


@pytest.mark.parametrize("sent", [0, 1, 100])
def test_a_stalled_body_is_a_408(fake_bundle: Path, sent: int) -> None:
    impatient = UploadLimits(20 * MEGA, grace=0.2, rate=8192)
    service = replace(make_service(fake_bundle), upload_limits=impatient)
    with live(service) as server, Wire(server.url) as wire:
        length = ("Content-Type: image/jpeg", "Content-Length: 1000")
        answer = wire.send(head("POST", "/predict", *length) + b"x" * sent).answer()
        problem = problem_of(answer.status, answer.headers, answer.body)
        assert (problem.status, problem.code) == (408, "slow-upload")
        assert wire.closed()


def test_a_fast_start_does_not_extend_the_upload_time_out(fake_bundle: Path) -> None:
    impatient = UploadLimits(20 * MEGA, grace=0.5, rate=1)  # which would be weeks of patience
    service = replace(make_service(fake_bundle), upload_limits=impatient)
    with live(service) as server, Wire(server.url) as wire:
        answer = wire.send(post(jpeg(5).ljust(10 * MEGA, b"\0"))[:-1]).answer()
        problem = problem_of(answer.status, answer.headers, answer.body)
        assert (problem.status, problem.code) == (408, "slow-upload")
        assert until(lambda: service.admission.bytes_in_flight == 0)


def test_a_service_that_cannot_answer_is_a_503(fake_bundle: Path) -> None:
    service = make_service(fake_bundle)
    with live(service) as server, server.client() as client:
        service.classifier.close()
        response = predict(client)
        assert response.status_code == 503
        assert refused(response).code == "not-ready"
        assert client.get("/readyz").status_code == 503
        assert client.get("/livez").status_code == 200


def test_an_unexpected_failure_shows_no_internals(fake_bundle: Path) -> None:
    service = make_service(fake_bundle, engine_of(FailingEngine, fake_bundle))
    with live(service) as server, server.client() as client:
        response = predict(client)
        assert response.status_code == 500
        assert refused(response).code == "internal-error"
        assert "secret" not in response.text
        assert "broken" not in response.text
        assert predict(client, b"no image").status_code == 400  # and the service goes on


def test_a_request_cut_off_by_the_shutdown_is_a_503(fake_bundle: Path) -> None:
    engine = engine_of(HeldEngine, fake_bundle).hold()
    service = make_service(fake_bundle, engine)
    with ThreadPoolExecutor() as pool:
        with live(service, drain=0.1) as server:
            answer = pool.submit(exchange, server.url, post(jpeg(5)))
            assert engine.busy.wait(60)
            answer.add_done_callback(lambda _: engine.release.set())
        stopped = answer.result()
    assert problem_of(stopped.status, stopped.headers, stopped.body).code == "not-ready"


@pytest.mark.parametrize("state", [State.STARTING, State.STOPPING])
def test_only_a_ready_service_answers_readyz(fake_bundle: Path, state: State) -> None:
    service = make_service(fake_bundle)
    with live(service) as server, server.client() as client:
        assert until(lambda: client.get("/readyz").json()) == {"status": "ready"}
        service.readiness.state = state
        response = client.get("/readyz")
        assert response.status_code == 503
        assert response.json() == {"status": state.value}
        assert client.get("/livez").status_code == 200
