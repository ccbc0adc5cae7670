"""Images that run together: each gets its own answer."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support.make_images import jpeg
from support.scrapes import sample, scrape
from support.servers import Server, start_server
from support.wire import exchange, post

LEVELS = [15, 65, 115, 165, 215, 240] * 4


@pytest.fixture(scope="module", params=[(), ("--workers", "2")], ids=["one process", "workers"])
def server(request: pytest.FixtureRequest, fake_bundle: Path) -> Iterator[Server]:
    """A service that runs up to four images together, and waits for them."""
    batches = ("--max-batch-size", "4", "--batch-wait-seconds", "0.2")
    server = start_server(
        "--bundle", str(fake_bundle), "--engine", "fake", *batches, *request.param
    )
    yield server
    assert server.stop() == 0, "".join(server.log)


def test_each_image_gets_its_own_answer_and_a_bad_one_fails_alone(server: Server) -> None:
    pictures = [jpeg(level) for level in LEVELS]
    bad = 5
    pictures[bad] = pictures[bad][:200]
    with ThreadPoolExecutor(len(pictures)) as pool:
        answers = list(pool.map(lambda p: exchange(server.url, post(p)).body, pictures))
    bodies = [json.loads(answer) for answer in answers]
    assert bodies.pop(bad)["code"] == "unreadable-image"
    levels = LEVELS[:bad] + LEVELS[bad + 1 :]
    assert [body["prediction"] for body in bodies] == [f"grey-{n * 10 // 255}" for n in levels]
    with server.client() as client:
        samples = scrape(client)
    assert sample(samples, "batch_images_sum") >= len(levels)
    assert sample(samples, "batch_images_count") < sample(samples, "batch_images_sum")
    assert sample(samples, "batch_wait_seconds_count") == sample(samples, "batch_images_sum")


def test_without_batches_there_are_no_metrics_of_them(fake_server: Server) -> None:
    with fake_server.client() as client:
        client.post("/predict", files={"file": jpeg(15)})
        assert "greengrocer_batch" not in client.get("/metrics").text
