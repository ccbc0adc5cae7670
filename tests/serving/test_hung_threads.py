"""Threads that hang in one process: it says so, asks for a restart, and ends when it is told to."""

import asyncio
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import httpx
import pytest
from grpc import StatusCode
from grpc_health.v1.health_pb2 import HealthCheckResponse
from structlog.testing import capture_logs
from structlog.typing import EventDict

from fake_engine import FakeEngine
from greengrocer.engines.engine import Inference
from greengrocer.imaging.geometry import Pixels
from greengrocer.rpc.messages.open_inference_pb2 import ServerLiveRequest, ServerLiveResponse
from greengrocer.serving import classifier
from greengrocer.serving.classifier import LocalClassifier
from greengrocer.serving.hang_watch import HangWatch
from greengrocer.serving.models import Models
from support import hostile
from support.engines import HeldEngine
from support.graphs import grey_graph, write_onnx_bundle
from support.live import engine_of, live, make_service
from support.make_images import jpeg
from support.rpc import Ended, RpcClient, address_of, files
from support.scrapes import sample, scrape
from support.servers import START_SECONDS, StartServer
from support.waiting import SECONDS, until

WHITE, GREY = jpeg(255), jpeg(100)
PATIENCE = 0.2  # seconds; what follows waits for events, not for this time
SOON = {"X-Deadline-Ms": "300"}


class WhiteHangs(HeldEngine):
    """Held by a white image only."""

    def infer(self, pixels: Pixels, alone: bool = False) -> Inference:
        """Answer, a white image once it is released."""
        white = pixels.mean() > 250
        return super().infer(pixels, alone) if white else FakeEngine.infer(self, pixels, alone)


@pytest.fixture
def engine(fake_bundle: Path) -> WhiteHangs:
    engine = engine_of(WhiteHangs, fake_bundle)
    engine.hold()
    return engine


@pytest.fixture
def logged() -> Iterator[list[EventDict]]:
    with capture_logs() as lines:
        yield lines


def told(lines: list[EventDict], event: str) -> list[EventDict]:
    """The lines of this event."""
    return [line for line in lines if line["event"] == event]


def test_a_service_whose_threads_all_hang_asks_for_a_restart_until_one_returns(
    fake_bundle: Path, engine: WhiteHangs, logged: list[EventDict]
) -> None:
    service = make_service(fake_bundle, engine)
    assert isinstance(service.classifier, LocalClassifier)
    models = Models(service.classifier.models.current)
    patient = LocalClassifier(models, 2, PATIENCE)
    service.classifier.close()
    with live(replace(service, classifier=patient)) as running, running.client() as client:
        ask = partial(client.post, "/predict", headers=SOON)
        assert ask(content=WHITE).status_code == 504
        until(lambda: told(logged, "a thread hangs"))
        assert client.get("/livez").json() == {"status": "alive"}
        assert client.post("/predict", content=GREY).status_code == 200
        assert ask(content=WHITE).status_code == 504
        until(lambda: told(logged, "the engine hangs"))
        for path, body in (
            ("/livez", {"status": "hung"}),
            ("/readyz", {"status": "ill"}),
            ("/v2/health/live", {"live": False}),
        ):
            answer = client.get(path)
            assert (answer.status_code, answer.json()) == (503, body)
        assert ask(content=GREY).status_code == 504
        engine.release.set()
        until(lambda: client.get("/livez").status_code == 200)
        assert client.get("/readyz").status_code == 200
        assert client.post("/predict", content=GREY).status_code == 200
    (line,) = told(logged, "the engine hangs")
    assert line["log_level"] == "critical"
    assert (line["models"], line["threads"]) == (["greys"], "2 of 2")


@pytest.mark.anyio
async def test_a_process_that_was_stopped_for_a_while_does_not_hang() -> None:
    turns, hung, told = [1], list[int](), asyncio.Event()

    def tell(number: int) -> None:
        hung.append(number)
        told.set()

    watch = HangWatch(turns, 0.01, tell)
    watch.submitted()
    for _ in range(2):  # a look each
        time.sleep(0.1)  # noqa: ASYNC251  # as if the process was stopped
        await asyncio.sleep(0)
    assert not hung
    await asyncio.wait_for(told.wait(), SECONDS)
    assert hung == [1]
    assert watch.hung() == 1
    turns[0] += 1
    assert watch.hung() == 0


def test_closing_leaves_a_thread_that_hangs_and_its_engine(
    fake_bundle: Path, engine: WhiteHangs, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = make_service(fake_bundle, engine)
    with live(service) as running, running.client() as client:
        assert client.post("/predict", content=WHITE, headers=SOON).status_code == 504
        monkeypatch.setattr(classifier, "CLOSE_SECONDS", 0.01)
    assert not service.close()
    assert not engine.closed
    engine.release.set()
    monkeypatch.undo()
    assert service.close()
    assert engine.closed


@pytest.mark.accept
def test_more_signals_end_a_process_whose_thread_hangs(serve: StartServer, tmp_path: Path) -> None:
    endless = write_onnx_bundle(tmp_path / "endless", hostile.endless_for_white())
    server = serve("--bundle", str(endless), "--request-timeout-seconds", "1")
    with server.client() as client:
        assert client.post("/predict", content=WHITE).status_code == 504
    server.process.send_signal(signal.SIGTERM)
    server.until_logged(lambda: any("Finished" in line for line in server.log))

    def over() -> bool:
        """Signal it once more, now that it waits for its threads, unless it has ended."""
        server.process.send_signal(signal.SIGTERM)
        return server.process.poll() is not None

    until(over)
    assert server.ended() == 0


@pytest.mark.accept
@pytest.mark.parametrize(("drain", "signals"), [("1", 1), ("3600", 2)], ids=["late", "twice"])
@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_stop_cancels_a_request_whose_thread_hangs(
    serve: StartServer, tmp_path: Path, protocol: str, drain: str, signals: int
) -> None:
    endless = write_onnx_bundle(tmp_path / "endless", hostile.endless_for_white())
    flags = ("--threads", "1", "--request-timeout-seconds", "3600", "--grpc-port", "0")
    server = serve("--bundle", str(endless), *flags, "--drain-timeout-seconds", drain)
    with (
        server.client() as client,
        RpcClient(address_of(server)) as rpc,
        ThreadPoolExecutor(1) as pool,
    ):
        asked: Future[httpx.Response] | Future[Ended]
        if protocol == "http":
            asked = pool.submit(client.post, "/predict", content=WHITE, timeout=START_SECONDS)
        else:
            asked = pool.submit(rpc.refused, files(WHITE), timeout=START_SECONDS)
        with server.client() as other:
            until(lambda: sample(scrape(other), "images_in_flight") == 1)
        for _ in range(signals):
            server.process.send_signal(signal.SIGTERM)
            server.until_logged(lambda: any("Shutting down" in line for line in server.log))
        refused = asked.result(START_SECONDS)
        if isinstance(refused, Ended):
            assert refused.code is StatusCode.UNAVAILABLE
            assert refused.trailing["problem-code"] == "not-ready"
        else:
            assert (refused.status_code, refused.json()["code"]) == (503, "not-ready")
        assert server.ended() == 0
    assert "Traceback" not in "".join(server.log)


@pytest.mark.accept
def test_a_graph_that_never_ends_does_not_keep_the_process_from_ending(
    serve: StartServer, tmp_path: Path
) -> None:
    endless = write_onnx_bundle(tmp_path / "endless", hostile.endless_for_white())
    sound = write_onnx_bundle(tmp_path / "sound", grey_graph())
    models = ("--bundle", f"grey={sound}", "--bundle", f"endless={endless}")
    flags = ("--threads", "2", "--request-timeout-seconds", "1", "--grpc-port", "0")
    server = serve(*models, *flags)
    with server.client() as client, RpcClient(address_of(server)) as rpc:
        ask = partial(client.post, content=GREY)
        assert ask("/models/endless/predict").status_code == 200
        for _ in range(2):
            assert ask("/models/endless/predict", content=WHITE).status_code == 504
        assert ask("/models/grey/predict").status_code == 504
        assert client.get("/livez").status_code == 200
        server.until_logged(lambda: any("the engine hangs" in line for line in server.log))
        assert client.get("/livez").status_code == 503
        assert client.get("/readyz").status_code == 503
        assert not rpc.call("ServerLive", ServerLiveRequest(), ServerLiveResponse).live
        assert rpc.health() == HealthCheckResponse.NOT_SERVING
    assert server.stop() == 0
    (line,) = (line for line in server.log if "the engine hangs" in line)
    assert "critical" in line
    assert "models=['endless']" in line
