"""The clients and a service of several models: each is listed, and answers by its name."""

from collections.abc import Iterator
from dataclasses import fields

import pytest

from greengrocer.bundles.manifest import read_manifest, write_manifest
from greengrocer.web.schemas import DescribedModel
from greengrocer_client import Client, ServedModel, UnexpectedAnswer, UnknownModel
from support.bundles import CLASSES, write_fake_bundle
from support.clients import AnyClient, Awaited
from support.make_images import jpeg
from support.replies import BODY, Reply, replying
from support.servers import Server, start_server

FEW = ("black", "grey", "white")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service of two models, of which one has no coarse classes."""
    home = tmp_path_factory.mktemp("bundles")
    many = write_fake_bundle(home / "many")
    few = write_fake_bundle(home / "few", hierarchy=False, version="2", classes=FEW)
    write_manifest(read_manifest(few).model_copy(update={"metrics": {"top1": 90.5}}), few)
    flags = ("--bundle", str(many), "--bundle", f"shop={few}", "--engine", "fake")
    server = start_server(*flags)
    yield server
    assert server.stop() == 0, "".join(server.log)


@pytest.fixture
def client(client_of: AnyClient, server: Server) -> Iterator[Client | Awaited]:
    with client_of(server.url) as client:
        yield client


def test_the_models_are_listed_with_what_they_can_do(client: Client | Awaited) -> None:
    greys, shop = client.models()
    can = {"known": True, "evidence": True}
    assert greys == ServedModel("greys", "1", True, 10, 2, figures={}, **can)
    assert shop == ServedModel("shop", "2", False, 3, None, figures={"top1": 90.5}, **can)


def test_a_listed_model_has_all_that_the_service_says() -> None:
    assert {field.name for field in fields(ServedModel)} == set(DescribedModel.model_fields)


def test_a_model_answers_by_its_name(client: Client | Awaited) -> None:
    assert client.predict(jpeg(89)).model == ("greys", "1")
    answers = [
        client.predict(jpeg(89), model="shop"),
        *client.predict_many([jpeg(9)], model="shop"),
    ]
    assert [getattr(answer, "model", None) for answer in answers] == [("shop", "2")] * 2
    assert client.explain(jpeg(89), model="shop").prediction in FEW
    assert client.class_names(model="shop") == FEW
    assert client.class_names() == CLASSES


@pytest.mark.parametrize("name", ["lost", "shop@next", "shop?top=1#", "é"])
def test_an_unknown_model_is_refused(client: Client | Awaited, name: str) -> None:
    with pytest.raises(UnknownModel) as refused:
        client.predict(jpeg(89), model=name)
    assert refused.value.code == "unknown-model"
    with pytest.raises(UnknownModel):
        list(client.predict_many([jpeg(89), jpeg(90)], model=name))


@pytest.mark.parametrize("name", ["a/b", "../metrics", "shop/predict?top=1#"])
def test_no_name_leads_to_another_route(client: Client | Awaited, name: str) -> None:
    with pytest.raises(ValueError, match="is no model's name: it has a slash") as refused:
        client.predict(jpeg(89), model=name)
    assert repr(name) in str(refused.value)


@pytest.mark.parametrize("name", [".", ".."])
def test_no_dots_lead_to_the_default_model(client: Client | Awaited, name: str) -> None:
    for ask in (client.predict, client.explain):
        with pytest.raises(ValueError, match="is no model's name: in a path") as refused:
            ask(jpeg(89), model=name)
        assert repr(name) in str(refused.value)
    with pytest.raises(ValueError, match="is no model's name: in a path"):
        client.class_names(model=name)
    with pytest.raises(ValueError, match="is no model's name: in a path"):
        list(client.predict_many([jpeg(89)], model=name))


def test_an_empty_name_is_no_model(client: Client | Awaited) -> None:
    with pytest.raises(ValueError, match="model is empty"):
        client.predict(jpeg(89), model="")


def test_what_is_no_list_of_models_is_refused(client_of: AnyClient) -> None:
    with (
        replying(Reply(body={"models": [{"name": "shop"}]})) as server,
        client_of(server.url) as client,
        pytest.raises(UnexpectedAnswer, match="lacks the field"),
    ):
        client.models()


def test_a_split_key_is_sent_with_each_image(client_of: AnyClient) -> None:
    with replying(Reply(body=BODY)) as server, client_of(server.url) as client:
        client.predict(jpeg(89), split_key="user 7")
        list(client.predict_many([jpeg(89)] * 2, split_key="user 7"))
        client.predict(jpeg(89))
    keys = [sent.headers.get("x-split-key") for sent in server.sent]
    assert keys == ["user 7"] * 3 + [None]


def test_explain_sends_a_split_key(client_of: AnyClient) -> None:
    picture = Reply(body=b"png", headers={"X-Class": "lime"})
    with replying(picture) as server, client_of(server.url) as client:
        client.explain(jpeg(89), split_key="user-7")
    assert server.sent[0].headers["x-split-key"] == "user-7"


@pytest.mark.parametrize("key", ["", " user", "user\n", "é"])
def test_a_split_key_that_is_no_header_is_refused(key: str, client_of: AnyClient) -> None:
    with client_of("http://127.0.0.1:9") as client, pytest.raises(ValueError, match="split key"):
        client.predict(jpeg(89), split_key=key)
