"""The reference: what is written by hand there is all that there is, too."""

import json
import re
from collections import Counter

from tools.reference_pages import PLACE, TABLES, filled

from greengrocer.web.protocol import SLOW
from greengrocer.web.schemas import Prediction
from support.documents import ROOT
from support.servers import Server
from support.wire import exchange

REFERENCE = ROOT / "docs" / "reference"
NOT_YET = ("/explain", "/predict/batch", "/v2")  # not described yet
FIELDS_NOT_YET = {"evidence"}
PAGES = {page.stem: page.read_text(encoding="utf-8") for page in REFERENCE.glob("*.md")}


def first_column(page: str, heading: str) -> set[str]:
    """The names in the first column of the first table below a heading."""
    rest = page[page.index(f"\n{heading}\n") :]
    table = re.search(r"^\|.*?(?=\n\n|\Z)", rest, re.MULTILINE | re.DOTALL)
    assert table
    return set(re.findall(r"^\| `([\w/-]+)`", table.group(), re.MULTILINE))


def test_every_table_has_its_place() -> None:
    places = Counter(name for page in PAGES.values() for name in PLACE.findall(page))
    assert places == Counter(TABLES.keys())


def test_a_place_becomes_its_table() -> None:
    assert "| `--max-megapixels` | `50` | number, above 0, at most 150 |" in filled(
        PAGES["settings"]
    )
    assert "| 429 | `overloaded` |" in filled(PAGES["errors"])
    assert "usage: greengrocer reload" in filled(PAGES["command-line"])


def test_every_path_is_described(fake_server: Server) -> None:
    with fake_server.client() as client:
        paths = client.get("/openapi.json").json()["paths"]
    described = set(re.findall(r"`(?:[A-Z]+ )?(/[\w/.-]*)`", PAGES["protocol"]))
    missing = {path for path in paths if not path.startswith(NOT_YET)} - described
    assert not missing, "docs/reference/protocol.md says nothing of these"


def test_every_field_of_an_answer_is_described() -> None:
    fields = Prediction.model_fields.keys() - FIELDS_NOT_YET
    assert first_column(PAGES["protocol"], "### The answer") == fields


def test_what_any_request_may_be_refused_as_is_true(fake_server: Server) -> None:
    rows = re.findall(r"^\| (\d+) \| `([a-z-]+)` \|", PAGES["errors"], re.MULTILINE)
    said = {code: int(status) for status, code in rows}
    many = b"".join(b"x-%d: y\r\n" % number for number in range(200))
    heads = {
        "bad-request": b"no request\r\n\r\n",
        "not-found": b"GET /nothing HTTP/1.1\r\nhost: x\r\n\r\n",
        "method-not-allowed": b"GET /predict HTTP/1.1\r\nhost: x\r\n\r\n",
        "uri-too-long": b"GET /" + 9000 * b"a" + b" HTTP/1.1\r\nhost: x\r\n\r\n",
        "head-too-large": b"GET / HTTP/1.1\r\n" + many + b"\r\n",
    }
    for code, head in heads.items():
        answer = exchange(fake_server.url, head)
        assert (answer.status, json.loads(answer.body)["code"]) == (said[code], code)
    assert said[SLOW.code] == SLOW.status
    assert said.keys() == {*heads, SLOW.code, "internal-error"}
