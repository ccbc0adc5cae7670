"""The shortcut past the framework gives the same answers."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from greengrocer.web.access.access import CanonicalPath
from greengrocer.web.app import create_app
from greengrocer.web.observe import Observe
from greengrocer.web.shortcut import Shortcut
from support.live import FailingEngine, engine_of, make_service, served
from support.make_images import jpeg
from support.refusals import PARAMETERS, PICTURES, UPLOADS
from support.tensors import INFER, asking, binary, image, infer, packed
from support.wire import exchange, head, post

GREY = jpeg(5)
PICTURE = post(GREY, "X-Request-Id: same")
AT_ONCE = 32_000  # bytes, that arrive in one piece


def settled(request: bytes) -> bytes:
    """A request whose answer is deterministic.

    One that comes in pieces may be refused before its end has come, and then its answer says that
    the connection ends: so it asks for that.
    """
    if len(request) <= AT_ONCE:
        return request
    return request.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)


ASKED = asking(image(GREY), id="7")
TENSORS = [
    infer(ASKED),
    infer(asking(image(GREY, GREY, GREY[:300]))),
    infer(asking(binary("image", "BYTES", [1], len(GREY) + 4)), packed(GREY)),
    infer(asking(image(GREY), outputs=[{"name": "plums"}])),
    infer(b"{"),
    *(
        infer(ASKED, path=path)
        for path in (
            "/v2/models/greys/versions/1/infer",
            "/v2/models/greys/versions/2/infer",
            "/v2/models/gr%65ys/infer",
            "/v2/models/pears/infer",
            "/v2/models/greys%2Fversions%2F1/infer",
            "/v2/models//infer",
            "/v2/models/greys/infer/",
            f"{INFER}?top=2",
        )
    ),
    head("GET", INFER),
]
REFUSED = [settled(refused.request) for refused in (*PICTURES, *UPLOADS, *PARAMETERS)]


@dataclass
class Ways:
    """One service, with the shortcut and without."""

    short: str
    long: str

    def told(self, request: bytes) -> tuple[bytes, bytes]:
        """The answers on both ways, but for the ids and the time."""
        first, second = exchange(self.short, request), exchange(self.long, request)
        assert first.status == second.status
        assert set(first.headers) == set(second.headers)
        ids = [each.headers["x-request-id"].encode() for each in (first, second)]
        return first.body.replace(ids[0], b"id"), second.body.replace(ids[1], b"id")


@pytest.fixture(params=["works", "fails"])
def ways(fake_bundle: Path, request: pytest.FixtureRequest) -> Iterator[Ways]:
    engine = engine_of(FailingEngine, fake_bundle) if request.param == "fails" else None
    service = make_service(fake_bundle, engine)
    short, long = create_app(service), create_app(service)
    assert isinstance(long, Observe)
    assert isinstance(long.app, CanonicalPath)
    assert isinstance(long.app.app, Shortcut)
    long.app.app = long.app.app.app
    with served(short, service.readiness) as first, served(long, service.readiness) as second:
        yield Ways(first, second)
    service.classifier.close()


def test_both_ways_give_the_same_answer(ways: Ways) -> None:
    for request in (PICTURE, *TENSORS, *REFUSED):
        short, long = ways.told(request)
        assert short == long
