"""Stopping a running service: which requests are served, and when it ends."""

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from greengrocer.web.schemas import Prediction
from support.make_images import jpeg
from support.problems import problem_of
from support.servers import Server, StartServer
from support.waiting import until
from support.wire import Wire, exchange, head, post, refused_connection

NEVER = "3600"
READY = head("GET", "/readyz")


def unready(server: Server) -> bool:
    """Whether a balancer would send no more."""
    answer = exchange(server.url, READY)
    return answer.status == 503 and answer.body == b'{"status":"stopping"}'


@pytest.fixture
def draining(serve: StartServer, fake_bundle: Path) -> Iterator[Server]:
    """A server whose delay does not end by itself; at the end of the test a signal ends it."""
    server = serve("--bundle", str(fake_bundle), "--engine", "fake", "--drain-delay-seconds", NEVER)
    yield server
    server.process.send_signal(signal.SIGTERM)
    assert server.ended() == 0
    assert refused_connection(server.port)
    assert "Traceback" not in "".join(server.log)


def test_after_sigterm_images_are_answered_with_connection_close(draining: Server) -> None:
    with Wire(draining.url) as kept, Wire(draining.url) as piped:
        assert "connection" not in kept.send(READY).answer().headers
        assert piped.send(READY).answer().status == 200
        draining.process.send_signal(signal.SIGTERM)
        until(lambda: unready(draining))
        answer = exchange(draining.url, post(jpeg(250)))
        assert Prediction.model_validate_json(answer.body).prediction == "grey-9"
        assert answer.headers["connection"] == "close"
        assert exchange(draining.url, head("GET", "/livez")).status == 200
        answer = kept.send(post(jpeg(5))).answer()
        assert Prediction.model_validate_json(answer.body).prediction == "grey-0"
        assert answer.headers["connection"] == "close"
        assert kept.closed()
        piped.send(post(jpeg(5)) + post(jpeg(250)))
        assert "connection" not in piped.answer().headers  # or the second would be lost
        assert piped.answer().headers["connection"] == "close"
        assert piped.closed()


def test_an_unread_request_is_answered_and_its_connection_closed_while_draining(
    draining: Server,
) -> None:
    draining.process.send_signal(signal.SIGTERM)
    until(lambda: unready(draining))
    large = head("POST", "/predict", "Content-Type: image/jpeg", f"Content-Length: {10**9}")
    with Wire(draining.url) as wire:
        answer = wire.send(large + b"x" * 100_000).answer()
        assert answer.status == 413
        assert answer.headers["connection"] == "close"
        assert wire.closed()


def test_when_the_delay_ends_the_port_closes_and_accepted_requests_finish(
    serve: StartServer, fake_bundle: Path
) -> None:
    server = serve("--bundle", str(fake_bundle), "--engine", "fake", "--drain-delay-seconds", "0.5")
    request = post(jpeg(250))
    with Wire(server.url) as idle, Wire(server.url) as busy:
        assert idle.send(READY).answer().status == 200
        busy.send(request[:-1])
        assert exchange(server.url, READY).status == 200  # behind it: it has been taken
        server.process.send_signal(signal.SIGTERM)
        assert idle.closed()
        until(lambda: refused_connection(server.port))
        answer = busy.send(request[-1:]).answer()
        assert Prediction.model_validate_json(answer.body).prediction == "grey-9"
    assert server.stop() == 0
    told = [word for line in server.log for word in ("draining", "stopping ") if word in line]
    assert told == ["draining", "stopping "]


def test_no_request_fails_for_clients_that_follow_readiness(
    serve: StartServer, fake_bundle: Path
) -> None:
    server = serve("--bundle", str(fake_bundle), "--engine", "fake", "--drain-delay-seconds", NEVER)
    picture = post(jpeg(250))

    def send_until_unready(_: int) -> list[int]:
        statuses = []
        while exchange(server.url, READY).status == 200:
            statuses.append(exchange(server.url, picture).status)
        return statuses

    with ThreadPoolExecutor(4) as pool:
        statuses = pool.map(send_until_unready, range(4))
        server.until_logged(lambda: len(server.log) > 100)
        server.process.send_signal(signal.SIGTERM)
        told = [status for each in statuses for status in each]
    assert len(told) > 90
    assert set(told) == {200}
    server.process.send_signal(signal.SIGTERM)
    assert server.ended() == 0


def test_sigint_skips_the_delay(serve: StartServer, fake_bundle: Path) -> None:
    server = serve("--bundle", str(fake_bundle), "--engine", "fake", "--drain-delay-seconds", NEVER)
    with Wire(server.url) as idle:
        assert idle.send(READY).answer().status == 200
        server.process.send_signal(signal.SIGINT)
        assert idle.closed()
    assert server.ended() == 0


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("delay", ["0", NEVER])
def test_a_second_signal_ends_the_service_at_once(
    serve: StartServer, fake_bundle: Path, second: signal.Signals, delay: str
) -> None:
    patient = (
        "--upload-grace-seconds",
        "3600",
        "--drain-timeout-seconds",
        "3600",
        "--drain-delay-seconds",
        delay,
    )
    server = serve("--bundle", str(fake_bundle), "--engine", "fake", *patient)
    with Wire(server.url) as wire:
        wire.send(post(jpeg(250))[:-1])
        assert exchange(server.url, READY).status == 200
        server.process.send_signal(signal.SIGTERM)
        said = "Waiting for connections" if delay == "0" else "draining"
        server.until_logged(lambda: [line for line in server.log if said in line])
        server.process.send_signal(second)
        answer = wire.answer()
        assert problem_of(answer.status, answer.headers, answer.body).code == "not-ready"
    assert server.ended() == 0
    assert "Traceback" not in "".join(server.log)
