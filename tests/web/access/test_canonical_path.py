"""A path has one spelling, so that no proxy rule can be bypassed."""

import pytest

from support.make_images import jpeg
from support.servers import Server
from support.wire import exchange, head, post

PATHS = ("/metrics", "/class-names", "/openapi.json", "/v2", "/v2/models/greys", "/readyz")

CONTROLS = [f"%{code:02{case}}" for case in "xX" for code in (*range(32), 127)]


def spellings(path: str) -> list[str]:
    """``path`` with one character percent-encoded, in either case."""
    places = range(1, len(path))
    coded = [f"%{ord(path[at]):02{case}}" for case in "xX" for at in places]
    return [
        path[:at] + code + path[at + 1 :]
        for at, code in zip([*places, *places], coded, strict=True)
    ]


@pytest.mark.parametrize("path", PATHS)
def test_every_other_spelling_of_a_path_is_a_404(fake_server: Server, path: str) -> None:
    assert exchange(fake_server.url, head("GET", path)).status == 200
    for spelling in spellings(path):
        assert exchange(fake_server.url, head("GET", spelling)).status == 404, spelling
        absolute = exchange(fake_server.url, head("GET", fake_server.url + spelling))
        assert absolute.status == 404, spelling


def test_an_image_sent_to_another_spelling_is_refused(fake_server: Server) -> None:
    answer = exchange(fake_server.url, post(jpeg(5), target="/pr%65dict"))
    assert answer.status == 404
    assert b"write e in it, not %65" in answer.body


def test_a_query_may_be_percent_encoded(fake_server: Server) -> None:
    assert exchange(fake_server.url, head("GET", "/class-names?l%65vel=f%69ne")).status == 200


@pytest.mark.parametrize("path", ["/v2/models/greys/versions/1%2B1", "/%2e%2e/x", "/nope%ff%00"])
def test_an_unknown_path_stays_a_404_in_any_spelling(fake_server: Server, path: str) -> None:
    assert exchange(fake_server.url, head("GET", path)).status == 404


@pytest.mark.parametrize("path", ["/livez", "/class-names", "/v2/models/greys/ready", "/docs"])
def test_a_path_with_a_control_character_is_a_404(fake_server: Server, path: str) -> None:
    assert exchange(fake_server.url, head("GET", path)).status == 200
    for code in CONTROLS:
        for spelling in (path + code, "/" + code + path[1:], f"{path}{code}{code}"):
            answer = exchange(fake_server.url, head("GET", spelling))
            assert answer.status == 404, spelling
            assert f"control character {code.upper()}".encode() in answer.body


def test_an_image_sent_to_a_path_with_a_control_character_is_refused(fake_server: Server) -> None:
    for path in ("/predict", "/explain", "/predict/batch", "/v2/models/greys/infer"):
        assert exchange(fake_server.url, post(jpeg(5), target=f"{path}%0a")).status == 404
