"""What a form may cost, at each limit and one past it."""

import json

import pytest

from conformance.answers import outcome, refused
from conformance.forms import BOUNDARY, END, FORM, field, form, part
from conformance.limits import (
    BATCH,
    BATCH_BODY,
    BODY,
    FORM_OVERHEAD,
    PART_HEADER_BYTES,
    PART_HEADERS,
    PARTS,
)
from conformance.photos import jpeg, plain
from conformance.wire import chunked, exchange, head, post

PICTURE = jpeg(plain(100))
FILE = part(PICTURE)
FITS = PICTURE.ljust(BODY, b"\0")
MORE_HEADERS = [f"X-{k}: y" for k in range(PART_HEADERS)]  # the disposition is one


def padded(size: int) -> bytes:
    """A part one of whose headers takes ``size`` bytes."""
    return part(PICTURE, "X: ".ljust(size, "y"))


def told(url: str, body: bytes, kind: str = FORM) -> str:
    """What the service says to a form."""
    outcomes = {outcome(exchange(url, send(body, kind=kind))) for send in (post, in_chunks)}
    (only,) = outcomes
    return only


def in_chunks(body: bytes, kind: str) -> bytes:
    """The form in chunks that fall anywhere."""
    return chunked(body, max(1, len(body) // 97), kind)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (form(FILE, *[field("x")] * (PARTS - 1)), "ok"),
        (form(FILE, *[field("x")] * PARTS), "malformed-upload"),
        (form(part(PICTURE, *MORE_HEADERS[:-1])), "ok"),
        (form(part(PICTURE, *MORE_HEADERS)), "malformed-upload"),
        (form(padded(PART_HEADER_BYTES)), "ok"),
        (form(padded(PART_HEADER_BYTES + 1)), "malformed-upload"),
        (form(part(FITS)), "ok"),
        (form(part(FITS + b"\0")), "too-many-bytes"),
        (form(field("x", bytes(FORM_OVERHEAD - 4096)), part(FITS)), "ok"),
        (form(field("x", bytes(FORM_OVERHEAD)), part(FITS)), "too-many-bytes"),
        (b"x" * FORM_OVERHEAD * 20 + b"\r\n" + form(FILE), "malformed-upload"),
        (form(), "missing-field"),
        (form(field("x")), "missing-field"),
        (form(part(PICTURE, name="picture")), "missing-field"),
        (form(FILE, FILE), "repeated-field"),
        (form(part(b"")), "empty-picture"),
        (form(FILE)[: -len(END)], "malformed-upload"),
        (form(FILE)[:-100], "malformed-upload"),
        (b"", "malformed-upload"),
        (form(FILE).replace(BOUNDARY.encode(), b"other"), "malformed-upload"),
    ],
    ids=[
        *("parts", "a part more", "part headers", "a part header more", "part header bytes"),
        *("part header bytes more", "picture", "a byte more", "other bytes", "other bytes more"),
        *("preamble", "no parts", "no file", "another field", "two files", "empty file", "no end"),
        *("cut", "no body", "another boundary"),
    ],
)
def test_a_form_is_taken_up_to_its_limits(base_url: str, body: bytes, code: str) -> None:
    assert told(base_url, body) == code


@pytest.mark.parametrize(
    "options", ["", "; boundary=", "; boundary", '; boundary="a\\b"', f"; boundary={'x' * 5000}"]
)
def test_a_form_without_a_boundary_is_refused(base_url: str, options: str) -> None:
    assert told(base_url, form(FILE), f"multipart/form-data{options}") == "malformed-upload"


@pytest.mark.parametrize(
    "file",
    [
        "/etc/passwd",
        "../../a.jpg",
        "a.php",
        "a%00.jpg",
        "x" * 3000,
        "C:\\a.jpg",
        "\u00e4\u4e2d.jpg",
        "",
    ],
)
def test_a_file_name_means_nothing(base_url: str, file: str) -> None:
    assert told(base_url, form(part(PICTURE, file=file))) == "ok"


@pytest.mark.parametrize("more", [0, 1])
def test_a_form_of_many_pictures_is_answered_up_to_its_limit(base_url: str, more: int) -> None:
    body = form(*[FILE] * (BATCH + more))
    answer = exchange(base_url, post(body, kind=FORM, target="/predict/batch"))
    told = [json.loads(line).get("code", "ok") for line in answer.body.splitlines()]
    assert told == ["ok"] * BATCH + ["repeated-field"] * more


@pytest.mark.wire
def test_a_form_of_many_pictures_that_is_too_long_is_refused_before_it_comes(base_url: str) -> None:
    length = f"Content-Length: {BATCH_BODY + 1}"
    request = head("POST", "/predict/batch", f"Content-Type: {FORM}", length)
    assert refused(exchange(base_url, request)) == "too-many-bytes"
