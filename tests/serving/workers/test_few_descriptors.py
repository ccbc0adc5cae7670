"""A process that runs out of descriptors loses no image but the one that it has no room for."""

import sys

import httpx
import pytest

from support.few_descriptors import descriptors_left
from support.make_images import jpeg
from support.poison.engine import SLOW
from support.wire import Wire, post
from support.workers import StartWorkers

pytestmark = [
    pytest.mark.leg("kills"),
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux shares images"),
]
LARGE = jpeg(250).ljust(500_000, b"\0")


def test_an_engine_without_a_descriptor_refuses_one_image_and_answers_the_others(
    supervise: StartWorkers,
) -> None:
    workers = supervise(1)
    engine = workers.engine
    with Wire(workers.url) as slow, httpx.Client(base_url=workers.url, timeout=60) as client:
        for free in (0, 1):  # none for the file, and none for its mapping
            with descriptors_left(engine, free):
                slow.send(post(jpeg(SLOW)))
                full = client.post("/predict", content=LARGE)
                assert (full.status_code, full.headers["retry-after"]) == (429, "1")
                assert "too few file descriptors" in full.json()["detail"]
                assert slow.answer().status == 200
        assert client.post("/predict", content=LARGE).status_code == 200
    assert workers.engine == engine
    assert not [line for line in workers.server.log if "malformed" in line]


def test_an_http_process_without_a_descriptor_sends_the_image_in_its_frame(
    supervise: StartWorkers,
) -> None:
    workers = supervise(1)
    with httpx.Client(base_url=workers.url, timeout=60) as client:
        assert client.get("/livez").status_code == 200  # it has the connection by now
        (process,) = workers.pids("http")
        for free in (0, 1):  # none for the file, and none to send it
            with descriptors_left(process, free):
                assert client.post("/predict", content=LARGE).status_code == 200
