"""On another ASGI server, work stops for disconnected clients too."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from starlette.types import Message

from greengrocer.web.app import create_app
from greengrocer.web.request_state import DisconnectWatch, RequestState
from greengrocer.web.wire.listener import bind
from support.engines import HeldEngine
from support.forms import FORM, form, part
from support.live import Live, make_service
from support.make_images import jpeg
from support.tensors import asking, image, infer
from support.waiting import SECONDS, until
from support.wire import Wire, exchange, head, post

DARK, LIGHT = jpeg(5), jpeg(250)
BATCH = form(part(DARK), *[part(LIGHT)] * 5)
LINES = (f"Content-Type: {FORM}", f"Content-Length: {len(BATCH)}")
REQUESTS = {
    "predict": post(LIGHT),
    "batch": head("POST", "/predict/batch", *LINES) + BATCH,
    "infer": infer(asking(image(LIGHT, LIGHT))),
}


@pytest.fixture(params=["h11", "httptools"])
def other_server(
    fake_bundle: Path, held_engine: HeldEngine, request: pytest.FixtureRequest
) -> Iterator[Live]:
    """The application under uvicorn with a protocol of its own, and one thread for images."""
    service = make_service(fake_bundle, held_engine)
    listener = bind("127.0.0.1", 0)
    listener.listen()
    config = uvicorn.Config(
        create_app(service), http=request.param, lifespan="off", log_config=None, access_log=False
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    yield Live(service, f"http://127.0.0.1:{listener.getsockname()[1]}")
    held_engine.release.set()
    server.should_exit = True
    thread.join(SECONDS)
    service.classifier.close()
    assert not thread.is_alive(), "the server did not stop"


@pytest.mark.parametrize("sent", REQUESTS.values(), ids=REQUESTS)
def test_work_stops_when_the_client_disconnects(
    other_server: Live, held_engine: HeldEngine, sent: bytes
) -> None:
    with Wire(other_server.url) as first:
        first.send(post(DARK))
        assert held_engine.busy.wait(SECONDS)
        with Wire(other_server.url) as second:
            second.send(sent)
            until(lambda: other_server.service.admission.pictures >= 2)
        for _ in range(2):  # by then the server has seen the other's end
            assert exchange(other_server.url, head("GET", "/livez")).status == 200
        held_engine.release.set()
        assert first.answer().status == 200
        assert first.send(post(DARK)).answer().status == 200
    assert held_engine.calls == 2
    until(lambda: other_server.service.admission.bytes_in_flight == 0)


def test_a_client_that_disconnects_during_its_upload_is_counted(
    other_server: Live, held_engine: HeldEngine
) -> None:
    held_engine.release.set()
    with Wire(other_server.url) as wire:
        wire.send(post(LIGHT)[:-1])
        until(lambda: other_server.service.admission.bytes_in_flight > 0)
    with other_server.client() as client:
        reason = 'rejections_total{reason="client-disconnected"} 1.0'
        until(lambda: reason in client.get("/metrics").text)


def test_requests_are_answered(other_server: Live, held_engine: HeldEngine) -> None:
    held_engine.release.set()
    for name in ("predict", "infer"):
        assert exchange(other_server.url, REQUESTS[name]).status == 200
    with other_server.client() as client:
        lines = client.post("/predict/batch", content=BATCH, headers={"Content-Type": FORM})
    assert len(lines.text.splitlines()) == 6


@pytest.mark.anyio
async def test_every_receive_call_gets_the_disconnect() -> None:
    messages: asyncio.Queue[Message] = asyncio.Queue()
    calls: list[int] = []
    state = RequestState(0.0)
    state.on_disconnect(lambda: calls.append(1))
    watch = DisconnectWatch(messages.get, state)
    messages.put_nowait({"type": "http.request", "body": b"x", "more_body": False})
    kinds = [(await watch.receive())["type"]]
    readers = [asyncio.create_task(watch.receive()) for _ in range(2)]
    messages.put_nowait({"type": "http.disconnect"})
    kinds += [message["type"] for message in await asyncio.gather(*readers)]
    state.on_disconnect(lambda: calls.append(1))  # too late: it is called at once
    assert kinds == ["http.request", "http.disconnect", "http.disconnect"]
    assert len(calls) == 2
