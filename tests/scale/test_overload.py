"""An overloaded replica refuses and drops requests as our own server does."""

import json
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from support.make_images import jpeg
from support.problems import problem_of
from support.ray_cluster import Cluster
from support.scrapes import Samples, sample, scrape
from support.waiting import until
from support.wire import Wire, WireAnswer, exchange, post

pytestmark = [pytest.mark.accept, pytest.mark.leg("Ray")]

CROWD = 300  # clients at once, of whom some do not get in
QUEUE = 12  # clients who all do, also at the pace of a busy machine
STAY = 3  # of whom so many wait for their answers, where others leave


@pytest.fixture(scope="module")
def url(cluster: Cluster, heavy_bundle: Path) -> str:
    """The URL of the one replica, in which no request may wait for over two seconds."""
    arguments = {
        "max_queue_seconds": 2,
        "request_timeout_seconds": 60,
        "metrics_port": cluster.ports.take(),
        "num_cpus": 1,
    }
    cluster.deploy(heavy_bundle, {**arguments, "min_replicas": 1, "max_replicas": 1})
    cluster.until_running(1)
    return cluster.head.url


def metrics(cluster: Cluster) -> Samples:
    """What the one replica has counted."""
    with httpx.Client(base_url=f"http://127.0.0.1:{cluster.metrics_port()}") as client:
        return scrape(client)


def ask(url: str) -> WireAnswer:
    return exchange(url, post(jpeg(250)))


def test_a_full_replica_answers_429_with_retry_after(cluster: Cluster, url: str) -> None:
    with ThreadPoolExecutor(CROWD) as pool:
        answers = list(pool.map(ask, [url] * CROWD))
    counted = Counter(answer.status for answer in answers)
    assert counted.keys() == {200, 429}
    for answer in answers:
        if answer.status == 429:
            problem = problem_of(429, answer.headers, answer.body)
            assert problem.code == "overloaded"
            assert int(answer.headers["retry-after"]) >= 1
    refused = sample(metrics(cluster), "rejections_total", reason="overloaded")
    assert refused == counted[429]  # each by the replica's own admission, none by Serve


def test_a_deadline_is_kept(url: str) -> None:
    answer = exchange(url, post(jpeg(250), "X-Deadline-Ms: 1"))
    assert problem_of(answer.status, answer.headers, answer.body).code == "deadline-exceeded"
    assert answer.status == 504


def test_images_of_disconnected_clients_are_dropped_before_inference(
    cluster: Cluster, url: str
) -> None:
    # A fast machine may answer all before some have left, and a busy one may refuse some.
    answers, grown = until(lambda: leave_early(cluster, url))
    assert [json.loads(answer.body)["prediction"] for answer in answers] == ["grey-9"] * STAY
    left = grown("rejections_total", reason="client-disconnected")
    assert left == grown("requests_total", route="/predict", status="499")
    assert grown("requests_total", route="/predict", status="503") == 0
    assert grown("inference_seconds_count") <= QUEUE - left + 1  # one was under way, perhaps


def leave_early(cluster: Cluster, url: str) -> tuple[list[WireAnswer], Callable[..., float]] | None:
    """What those of QUEUE clients are answered who stay, and what the replica has counted.

    None where too few of the others left before they were answered.
    """
    before = metrics(cluster)
    with ExitStack() as stay, ExitStack() as leave:
        waiting = [stay.enter_context(Wire(url)) for _ in range(STAY)]
        leaving = [leave.enter_context(Wire(url)) for _ in range(QUEUE - STAY)]
        for wire in waiting + leaving:
            wire.send(post(jpeg(250)))
        until(lambda: moved(before, metrics(cluster)))
        leave.close()
        answers = [wire.answer() for wire in waiting]
    until(lambda: sample(metrics(cluster), "images_in_flight") == 0)
    after = metrics(cluster)

    def grown(name: str, **labels: str) -> float:
        return sample(after, name, **labels) - sample(before, name, **labels)

    stayed = all(answer.status == 200 for answer in answers)
    early = grown("rejections_total", reason="client-disconnected") > QUEUE / 4
    return (answers, grown) if stayed and early else None


def moved(before: Samples, now: Samples) -> bool:
    """Whether most of QUEUE images are in flight, or some have left already."""
    answered = sum(
        value - before.get(key, 0.0)
        for key, value in now.items()
        if key[0] == "greengrocer_requests_total" and ("route", "/predict") in key[1]
    )
    return answered > QUEUE / 2 or sample(now, "images_in_flight") > QUEUE / 2
