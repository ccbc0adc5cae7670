"""The clients against a real service: what they send is understood, what it answers is read."""

from collections.abc import Iterator
from dataclasses import fields
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from greengrocer import ranking
from greengrocer.web.schemas import Prediction
from greengrocer_client import Answer, Client, UnexpectedAnswer
from greengrocer_client.answers import read_answer
from support.bundles import CLASSES
from support.clients import AnyClient, Awaited
from support.make_images import jpeg
from support.replies import BODY, Reply, replying
from support.servers import Server


@pytest.fixture
def client(client_of: AnyClient, fake_server: Server) -> Iterator[Client | Awaited]:
    """A client of the service with the fake engine."""
    with client_of(fake_server.url) as client:
        yield client


def test_an_image_is_sent_as_path_bytes_and_pillow_image(
    client: Client | Awaited, tmp_path: Path
) -> None:
    file = tmp_path / "photo.jpg"
    file.write_bytes(jpeg(89))
    kinds: tuple[Any, ...] = (
        *(file, str(file), jpeg(89), bytearray(jpeg(89)), memoryview(jpeg(89))),
        *(Image.new(mode, (64, 48), level) for mode, level in (("RGB", (89,) * 3), ("L", 89))),
        *(Image.new("RGBA", (64, 48), (89, 89, 89, 255)), Image.open(file)),
    )
    assert [client.predict(image).prediction for image in kinds] == ["grey-3"] * len(kinds)


def test_an_answer_has_all_that_the_service_says(client: Client | Awaited) -> None:
    answer = client.predict(jpeg(89), top=3, evidence=True)
    assert [name for name, _ in answer.top] == ["grey-3", "grey-2", "grey-4"]
    assert answer.confidence == answer.top[0].confidence
    assert answer.coarse is not None
    assert (answer.coarse.name, answer.named) == ("dark", ("fine", "grey-3"))
    assert answer.known is (answer.known_score is not None and answer.known_score >= 0.5)
    assert answer.model == ("greys", "1")
    assert answer.request_id
    assert answer.evidence is not None
    assert (answer.evidence.name, answer.evidence.shape) == ("grey-3", (3, 3))
    assert len(answer.evidence.values) == 9
    assert len(client.predict(jpeg(89)).top) == 5


def test_an_explanation_is_a_png_and_its_class(client: Client | Awaited) -> None:
    explanation = client.explain(jpeg(191))
    with Image.open(BytesIO(explanation.png)) as overlay:
        assert (explanation.prediction, overlay.format) == ("grey-7", "PNG")


def test_class_names_are_listed_by_level(client: Client | Awaited) -> None:
    assert client.class_names() == CLASSES
    assert client.class_names("coarse") == ("dark", "light")


def test_attributes_have_the_names_of_the_python_api() -> None:
    of_the_api = {field.name for field in fields(ranking.Answer)} | {"prediction", "confidence"}
    only_there = {"overlay", "tensors", "evidence_box"}  # no answer over HTTP has the first two
    assert {field.name for field in fields(Answer)} == of_the_api - only_there | {"request_id"}
    assert len(fields(Answer)) == len(Prediction.model_fields)


def test_unknown_fields_are_ignored() -> None:
    known = read_answer(BODY)
    more = {**BODY, "weight": 3, "answer": {"level": "family", "name": "x", "why": "new"}}
    assert read_answer(more).named == ("family", "x")
    assert read_answer(more).top == known.top == (("lime", 0.75), ("lemon", 0.25))
    assert known.evidence is not None
    assert (known.evidence.values, known.evidence.box) == ((1.0, 2.5), (0.0, 0.0, 1.0, 0.5))


@pytest.mark.parametrize(
    "body",
    [
        *([], "text", {**BODY, "top": None}, {**BODY, "confidence": "high"}),
        {name: value for name, value in BODY.items() if name != "model"},
    ],
    ids=["list", "text", "no top", "no number", "no model"],
)
def test_what_is_no_answer_is_refused(body: object, client_of: AnyClient) -> None:
    with (
        replying(Reply(body=body)) as server,
        client_of(server.url) as client,
        pytest.raises(UnexpectedAnswer, match="Greengrocer"),
    ):
        client.predict(jpeg(89))


@pytest.mark.parametrize("reply", [Reply(body=b"<html>"), Reply(302), Reply(204)])
def test_the_answer_of_something_else_is_refused(reply: Reply, client_of: AnyClient) -> None:
    with replying(reply) as server, client_of(server.url) as client:
        for call in (client.class_names, lambda: client.explain(jpeg(89))):
            with pytest.raises(UnexpectedAnswer, match=server.url):
                call()


def test_a_service_below_a_path_is_called_there(client_of: AnyClient) -> None:
    with (
        replying(Reply(body={"classes": ["lime"]})) as server,
        client_of(f"{server.url}/shop/") as client,
    ):
        assert client.class_names() == ("lime",)
    assert server.sent[0].path == "/shop/class-names?level=fine"
    assert server.sent[0].headers["user-agent"].startswith("greengrocer-client/")
