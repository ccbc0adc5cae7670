"""Late and cancelled calls are never computed, and an upload must come in time."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from grpc import FutureTimeoutError, StatusCode

from greengrocer.web.service import Service
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
    until(lambda: held.service.admission.bytes_in_flight == 0)


def receiving(bundle: Path, messages: int, grace: float) -> Service:
    """A service that receives so many of the largest messages at once, each within ``grace``."""
    service = make_service(bundle)
    limits = replace(service.admission.limits, upload_bytes=messages * 22_500_000)
    service.admission.limits = limits
    return replace(service, upload_limits=replace(service.upload_limits, grace=grace))


class Silent:
    """Messages of a client that sends none until it is told to stop."""

    def __init__(self) -> None:
        self.stop = threading.Event()

    def __iter__(self) -> Iterator[bytes]:
        self.stop.wait(SECONDS)
        yield b""


def test_a_message_that_does_not_come_in_time_is_a_slow_upload(fake_bundle: Path) -> None:
    """And it gives the only place back."""
    silent = Silent()
    with live_rpc(receiving(fake_bundle, 1, 0.2)) as running, running.rpc() as client:
        call = client.stream(iter(silent))
        end = ended(call.exception(SECONDS))
        assert (end.code, end.trailing["problem-code"]) == (
            StatusCode.DEADLINE_EXCEEDED,
            "slow-upload",
        )
        assert client.infer(files(DARK))
        silent.stop.set()


def test_no_more_messages_are_received_at_once_than_fit_into_memory(fake_bundle: Path) -> None:
    """A further one waits for its turn."""
    silent = Silent()
    with live_rpc(receiving(fake_bundle, 2, SECONDS)) as running, running.rpc() as client:
        calls = [client.stream(iter(silent)) for _ in range(2)]
        until(lambda: in_flight(running) == 2)
        further = client.begin(files(DARK))
        until(lambda: in_flight(running) == 3)
        with pytest.raises(FutureTimeoutError):
            further.result(0.3)
        silent.stop.set()
        assert further.result(SECONDS)
        assert all(call.exception(SECONDS) is not None for call in calls)
