"""The handwritten parts of the reference are complete."""

import json
import re
from collections import Counter

from tools.reference_pages import PLACE, TABLES, filled

from greengrocer.serving.resources import UPLOADS
from greengrocer.settings import Settings
from greengrocer.web.body.form import (
    MAX_PART_HEADER_BYTES,
    MAX_PART_HEADERS,
    OTHER_PARTS,
    OVERHEAD,
)
from greengrocer.web.open_inference.answers import MOST_EXPLAINED
from greengrocer.web.open_inference.infer import JSON_OVERHEAD
from greengrocer.web.open_inference.inputs import (
    MANY_VALUES,
    MANY_VALUES_BYTES,
    MAX_LISTS,
    MAX_VALUES,
)
from greengrocer.web.schemas import Prediction
from greengrocer.web.wire.protocol import SLOW
from support.documents import ROOT
from support.servers import Server
from support.wire import exchange

MEGA = 1_000_000
REFERENCE = ROOT / "docs" / "reference"
PAGES = {page.stem: page.read_text(encoding="utf-8") for page in REFERENCE.glob("*.md")}


def first_column(page: str, heading: str) -> set[str]:
    """The names in the first column of the first table below a heading."""
    rest = page[page.index(f"\n{heading}\n") :]
    table = re.search(r"^\|.*?(?=\n\n|\Z)", rest, re.MULTILINE | re.DOTALL)
    assert table
    return set(re.findall(r"^\| `([\w/-]+)`", table.group(), re.MULTILINE))


def test_every_table_has_a_placeholder() -> None:
    places = Counter(name for page in PAGES.values() for name in PLACE.findall(page))
    assert places == Counter(TABLES.keys())


def test_a_placeholder_is_replaced_by_its_table() -> None:
    assert (
        "| `--max-image-pixels` | `120_000_000` | whole number, above 0, at most 150_000_000 |"
        in filled(PAGES["settings"])
    )
    assert "| 429 | `overloaded` |" in filled(PAGES["errors"])
    assert "usage: greengrocer reload" in filled(PAGES["command-line"])


def test_every_path_is_described(fake_server: Server) -> None:
    with fake_server.client() as client:
        paths = client.get("/openapi.json").json()["paths"]
    described = set(re.findall(r"`(?:[A-Z]+ )?(/[\w/.{}-]*)`", PAGES["protocol"]))
    assert not paths.keys() - described, "docs/reference/protocol.md says nothing of these"


def test_the_documented_refusals_of_image_routes_are_true(fake_server: Server) -> None:
    with fake_server.client() as client:
        paths = client.get("/openapi.json").json()["paths"]
    posts = {path: about["post"]["responses"] for path, about in paths.items() if "post" in about}
    for path, responses in posts.items():
        if "{version}" in path:
            continue
        row = f"| `POST {path}` | {', '.join(sorted(responses.keys() - {'200'}))} |"
        assert row in PAGES["protocol"]


def test_every_field_of_an_answer_is_described() -> None:
    fields = Prediction.model_fields.keys()
    assert first_column(PAGES["protocol"], "### The answer") == fields


def test_every_tensor_is_described(fake_server: Server) -> None:
    with fake_server.client() as client:
        model = client.get("/v2/models/greys").json()
    for kind in ("inputs", "outputs"):
        names = {tensor["name"] for tensor in model[kind]}
        assert first_column(PAGES["protocol"], f"### {kind.title()}") == names


def test_the_documented_batch_limits_are_true() -> None:
    defaults = Settings()
    most = f"{defaults.max_image_bytes / MEGA:g} MB"
    most_json = (defaults.max_image_bytes * 4 / 3 + JSON_OVERHEAD) / MEGA
    for words in (
        f"at most {defaults.max_request_images}; one more",
        f"N is at most {defaults.max_request_images}.",
        f"at most {defaults.max_request_bytes / MEGA:g} MB in all, {most} an image",
        f"at most {defaults.max_request_images + OTHER_PARTS} in all; those",
        f"at most {OTHER_PARTS} beside the image; all that is not the image has at most",
        f"has at most {OVERHEAD:,} bytes",
        f"at most {MAX_PART_HEADERS}, of {MAX_PART_HEADER_BYTES:,} bytes each",
        f"at most {MOST_EXPLAINED} images a request",
        f"about {most_json:.0f} MB (an image of {most} in base64)",
        f"{MAX_LISTS:,} lists, objects and keys, {MAX_VALUES:,} values; with over",
        f"with over {MANY_VALUES:,} values {MANY_VALUES_BYTES / MEGA:g} MB",
        f"{defaults.max_request_bytes / MEGA:g} MB, and no more than all uploads at once",
        f"may have ({UPLOADS[0] / MEGA:g} MB; with",
    ):
        assert words in PAGES["protocol"]


def test_the_documented_refusals_of_any_request_are_true(fake_server: Server) -> None:
    rows = re.findall(r"^\| (\d+) \| `([a-z-]+)` \|", PAGES["errors"], re.MULTILINE)
    said = {code: int(status) for status, code in rows}
    many = b"".join(b"x-%d: y\r\n" % number for number in range(200))
    coded = b"transfer-encoding: gzip, chunked\r\n\r\n"
    heads = {
        "unsupported-transfer-coding": b"POST / HTTP/1.1\r\nhost: x\r\n" + coded,
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
