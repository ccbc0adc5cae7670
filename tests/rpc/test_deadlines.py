"""Late and cancelled calls are never computed, and an upload must come in time."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from grpc import StatusCode

from support.engines import HeldEngine
from support.live import engine_of, make_service
from support.make_images import jpeg
from support.rpc import LiveRpc, ended, files, live_rpc
from support.scrapes import sample, scrape
from support.waiting import SECONDS, until

DARK, LIGHT = jpeg(5), jpeg(250)


@pytest.fixture
def engine(fake_bundle: Path) -> HeldEngine:
    """An engine that answers when the test lets it."""
    return engine_of(HeldEngine, fake_bundle).hold()


@pytest.fixture
def held(fake_bundle: Path, engine: HeldEngine) -> Iterator[LiveRpc]:
    """A service whose one thread has that engine."""
    with live_rpc(make_service(fake_bundle, engine)) as running:
        yield running
        engine.release.set()


def in_flight(running: LiveRpc) -> float:
    """The requests that the service has received and not yet answered."""
    with running.client() as client:
        return sample(scrape(client), "in_flight")


@pytest.mark.parametrize("way", ["grpc", "metadata"])
def test_queued_calls_that_expire_never_reach_the_engine(
    held: LiveRpc, engine: HeldEngine, way: str
) -> None:
    with held.rpc() as client:
        first = client.begin(files(DARK))
        assert engine.busy.wait(SECONDS)
        for _ in range(3):
            if way == "grpc":
                end = client.refused(files(LIGHT), timeout=0.3)
            else:
                end = client.refused(files(LIGHT), [("x-deadline-ms", "50")])
                assert end.trailing["problem-code"] == "deadline-exceeded"
            assert end.code is StatusCode.DEADLINE_EXCEEDED
        until(lambda: held.service.admission.pictures == 1)
        engine.release.set()
        assert first.result(SECONDS)
        assert client.infer(files(LIGHT))  # whatever was queued has run
    assert engine.calls == 2


def test_queued_calls_that_are_cancelled_never_reach_the_engine(
    held: LiveRpc, engine: HeldEngine
) -> None:
    with held.rpc() as client:
        first = client.begin(files(DARK))
        assert engine.busy.wait(SECONDS)
        queued = [client.begin(files(LIGHT)) for _ in range(3)]
        until(lambda: held.service.admission.pictures == 4)
        for call in queued:
            call.cancel()
        with held.rpc() as other:  # and the calls of a connection that is lost
            lost = other.begin(files(LIGHT))  # gRPC cancels a call that nobody refers to
            until(lambda: held.service.admission.pictures == 5)
        assert lost.done()
        # its end is later than the cancellations' arrival
        assert client.refused(files(LIGHT), [("x-deadline-ms", "200")])
        engine.release.set()
        assert first.result(SECONDS)
        assert client.infer(files(LIGHT))  # whatever was queued has run
    assert engine.calls == 2
    until(lambda: held.service.admission._bytes.used == 0)


def test_a_message_that_does_not_come_in_time_is_a_slow_upload(fake_bundle: Path) -> None:
    service = make_service(fake_bundle)
    quick = replace(service, upload_limits=replace(service.upload_limits, grace=0.2))
    done = threading.Event()

    def silent() -> Iterator[bytes]:
        done.wait(SECONDS)
        yield b""

    with live_rpc(quick) as running, running.rpc() as client:
        call = client.stream(silent())
        end = ended(call.exception(SECONDS))
        assert (end.code, end.trailing["problem-code"]) == (
            StatusCode.DEADLINE_EXCEEDED,
            "slow-upload",
        )
        assert client.infer(files(DARK))
        done.set()


def test_no_more_messages_are_received_at_once_than_fit_into_memory(fake_bundle: Path) -> None:
    """A further one waits for its turn; one that does not come gives its place back."""
    service = make_service(fake_bundle)
    limits = replace(service.admission.limits, upload_bytes=45_000_000)
    service.admission.limits = limits  # for two of the largest
    quick = replace(service, upload_limits=replace(service.upload_limits, grace=1.0))
    done = threading.Event()

    def silent() -> Iterator[bytes]:
        done.wait(SECONDS)
        yield b""

    with live_rpc(quick) as running, running.rpc() as client:
        calls = [client.stream(silent()) for _ in range(2)]
        until(lambda: in_flight(running) == 2)
        assert client.infer(files(DARK))
        done.set()
        assert all(call.exception(SECONDS) is not None for call in calls)
