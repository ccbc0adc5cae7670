"""The clients against a server that is full, slow, or gone for a while."""

import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise

import pytest

from greengrocer_client import DeadlineExceeded, Overloaded, Unreachable
from greengrocer_client.calls import _seconds
from support.clients import AnyClient
from support.make_images import jpeg
from support.replies import BODY, Reply, Sent, replying
from support.waiting import SECONDS, until

FULL = {"code": "overloaded", "status": 429, "title": "Full", "detail": "retry", "request_id": "7"}
NAMES = Reply(body={"classes": ["lime"]})
GONE = Reply(0)


def full(seconds: int, status: int = 429) -> Reply:
    return Reply(status, FULL, {"Retry-After": str(seconds)})


def deadlines(sent: list[Sent]) -> list[float]:
    """What each request says, in seconds."""
    return [int(each.headers["x-deadline-ms"]) / 1000 for each in sent]


@pytest.mark.parametrize("status", [429, 503])
def test_the_same_is_sent_again_after_retry_after(status: int, client_of: AnyClient) -> None:
    with replying(full(1, status), Reply(body=BODY)) as server, client_of(server.url) as client:
        assert client.predict(jpeg(89)).prediction == "lime"
    first, second = server.sent
    assert first.body == second.body == jpeg(89)
    assert second.moment - first.moment >= 1
    assert second.headers.keys() == first.headers.keys()


def test_the_service_is_told_what_is_left_of_the_deadline(client_of: AnyClient) -> None:
    with replying(full(1), NAMES) as server, client_of(server.url, timeout=SECONDS) as client:
        client.class_names()
        client.class_names(timeout=60)
    first, second, third = deadlines(server.sent)
    assert 0 < SECONDS - first < second - 1 < SECONDS
    assert second <= first - 1
    assert third <= 60


def test_a_client_gives_up_after_its_attempts(client_of: AnyClient) -> None:
    with (
        replying(full(0)) as server,
        client_of(server.url, attempts=3) as client,
        pytest.raises(Overloaded, match="retry") as told,
    ):
        client.class_names()
    assert len(server.sent) == 3
    assert told.value.retry_after == 0


def test_a_client_gives_up_at_once_where_retry_after_is_behind_its_deadline(
    client_of: AnyClient,
) -> None:
    with (
        replying(full(3600)) as server,
        client_of(server.url) as client,
        pytest.raises(Overloaded),
    ):
        client.class_names()
    assert len(server.sent) == 1


def test_a_lost_connection_is_made_again(client_of: AnyClient) -> None:
    with replying(NAMES, GONE, NAMES) as server, client_of(server.url) as client:
        assert client.class_names() == client.class_names() == ("lime",)
    assert len(server.sent) == 3
    assert all(before.moment < after.moment for before, after in pairwise(server.sent))


def test_a_service_that_is_not_there_is_unreachable(client_of: AnyClient) -> None:
    with replying(NAMES) as server:
        url = server.url
    with client_of(url, attempts=2) as client, pytest.raises(Unreachable, match=url):
        client.class_names()


def test_a_service_that_hangs_is_left_at_the_deadline(client_of: AnyClient) -> None:
    released = threading.Event()
    hanging = Reply(body=NAMES.body, before=lambda: released.wait(SECONDS))
    with replying(hanging) as server, client_of(server.url, timeout=0.2) as client:
        with pytest.raises(DeadlineExceeded, match=r"no answer came within 0\.2 s") as told:
            client.class_names()
        until(lambda: server.sent)  # a busy server reads it after the client has gone
        released.set()
    assert told.value.problem.request_id is None
    assert len(server.sent) == 1


def test_retry_after_is_seconds_or_a_date() -> None:
    moment = datetime.now(UTC) + timedelta(seconds=100)
    assert _seconds("7") == 7
    assert 90 < (_seconds(format_datetime(moment, usegmt=True)) or 0) <= 100
    assert _seconds("Thu, 01 Jan 1970 00:00:00 GMT") == 0
    assert [_seconds(text) for text in (None, "", "soon", "-1", "1.5")] == [None] * 5
