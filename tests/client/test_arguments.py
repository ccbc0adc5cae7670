"""What a caller gives is checked at once, and refused in one line."""

import math
from typing import Any

import pytest

from support.clients import AnyClient
from support.make_images import jpeg
from support.replies import BODY, Reply, replying
from support.servers import Server


@pytest.mark.parametrize(
    "url",
    [
        *("", "shop.example", "ftp://me:secret@shop.example", "http://", "http://me:secret@"),
        *("http://127.0.0.1:abc", "http://me:secret", "http://127.0.0.1:74836", "http://a.b:0"),
        *("http://[::1", "http://127.0.0.999", "http://shop example", "http://shop\n.example"),
        *("shop.example:8000", "http:shop.example", "https://\u2603.\u200b"),
    ],
)
def test_what_is_no_address_is_refused_at_once(url: str, client_of: AnyClient) -> None:
    with pytest.raises(ValueError, match=r"must look like https://") as refused:
        client_of(url)
    assert "secret" not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("end", ["?key=1", "/?", "#x", "/below#", "/below/?key=1#x"])
def test_a_query_or_a_fragment_is_no_part_of_an_address(end: str, client_of: AnyClient) -> None:
    with pytest.raises(ValueError, match="no query"):
        client_of(f"http://127.0.0.1:9300{end}")


def test_blanks_around_an_address_do_not_count(client_of: AnyClient) -> None:
    with replying(Reply(body=BODY)) as server, client_of(f" {server.url}/\n") as client:
        assert client.predict(jpeg(89)).prediction == "lime"


@pytest.mark.parametrize("timeout", [0, -1, math.inf, math.nan, 1e12, 86_401, "5"])
def test_a_timeout_is_a_number_of_seconds_up_to_a_day(
    timeout: Any, client_of: AnyClient, fake_server: Server
) -> None:
    said = f"timeout is {timeout!r}: it must be a number of seconds"
    with pytest.raises(ValueError, match=said):
        client_of(fake_server.url, timeout=timeout)
    with client_of(fake_server.url, timeout=86_400) as client:
        assert client.predict(jpeg(89), timeout=86_400).prediction == "grey-3"
        for call in (client.predict, client.explain):
            with pytest.raises(ValueError, match=said):
                call(jpeg(89), timeout=timeout)
        for listing in (client.models, client.class_names):
            with pytest.raises(ValueError, match=said):
                listing(timeout=timeout)
        with pytest.raises(ValueError, match=said):
            list(client.predict_many([jpeg(89)], timeout=timeout))


@pytest.mark.parametrize("count", [0, -3, "640", 640.0, True])
def test_a_number_of_things_is_a_whole_one(count: Any, client_of: AnyClient) -> None:
    for name in ("attempts", "max_side"):
        with pytest.raises(ValueError, match=f"{name} is {count!r}: it must be a whole number"):
            client_of("http://127.0.0.1:9", **{name: count})
    with (
        client_of("http://127.0.0.1:9") as client,
        pytest.raises(ValueError, match=f"at_once is {count!r}: it must be a whole number"),
    ):
        client.predict_many([], at_once=count)


def test_wrong_arguments_are_refused_at_once(client_of: AnyClient) -> None:
    with pytest.raises(ValueError, match="not printable ASCII"):
        client_of("http://127.0.0.1:9", key="a\nb")
    with client_of("http://127.0.0.1:9") as client:
        with pytest.raises(TypeError, match="not int"):
            client.predict(7)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="path of the image is empty"):
            client.predict("")
        with pytest.raises(TypeError, match="one image"):
            client.predict_many("photo.jpg")
