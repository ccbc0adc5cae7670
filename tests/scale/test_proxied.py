"""What the proxy of Serve does otherwise than our own server, the application does not notice."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from greengrocer.scale.proxied import Proxied
from greengrocer.web.request_state import state_of

pytestmark = pytest.mark.anyio

Messages = list[MutableMapping[str, Any]]


def http() -> Scope:
    return {"type": "http", "method": "GET", "path": "/", "headers": []}


async def silence() -> Message:
    """A client that sends nothing more."""
    await asyncio.Event().wait()
    raise AssertionError


async def nowhere(message: Message) -> None:
    """A client that has left."""


async def test_a_cancelled_request_is_told_as_a_client_that_left() -> None:
    told: list[str] = []
    waits = asyncio.Event()

    async def application(scope: Scope, _: Receive, __: Send) -> None:
        left = asyncio.Event()
        state_of(scope).on_disconnect(left.set)
        waits.set()
        await left.wait()
        told.append("dropped")

    request = asyncio.create_task(Proxied(lambda: application)(http(), silence, nowhere))
    await waits.wait()
    request.cancel()
    await request
    assert told == ["dropped"]


async def test_an_error_comes_through() -> None:
    async def application(_: Scope, __: Receive, ___: Send) -> None:
        raise RuntimeError("of the application")

    with pytest.raises(RuntimeError, match="of the application"):
        await Proxied(lambda: application)(http(), silence, nowhere)


async def test_the_id_is_left_to_the_proxy() -> None:
    sent: Messages = []

    async def application(_: Scope, __: Receive, send: Send) -> None:
        headers = [(b"x-request-id", b"till-7"), (b"retry-after", b"1")]
        await send({"type": "http.response.start", "status": 429, "headers": headers})
        await send({"type": "http.response.body", "body": b"full"})

    async def keep(message: Message) -> None:
        sent.append(message)

    await Proxied(lambda: application)(http(), silence, keep)
    assert sent[0]["headers"] == [(b"retry-after", b"1")]
    assert sent[1]["body"] == b"full"


async def test_it_lives_before_there_is_an_application() -> None:
    events = iter(["lifespan.startup", "lifespan.shutdown"])
    sent: Messages = []

    async def receive() -> Message:
        return {"type": next(events)}

    async def send(message: Message) -> None:
        sent.append(message)

    def none() -> Any:
        raise AssertionError("there is none")

    await Proxied(none)({"type": "lifespan"}, receive, send)
    assert [message["type"] for message in sent] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
