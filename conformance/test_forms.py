"""Limits of a form, each reached and exceeded."""

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


def code_of(url: str, body: bytes, kind: str = FORM) -> str:
    """The outcome of a form."""
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
        (form(part(b"")), "empty-image"),
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
    assert code_of(base_url, body) == code


@pytest.mark.parametrize(
    "options", ["", "; boundary=", "; boundary", '; boundary="a\\b"', f"; boundary={'x' * 5000}"]
)
def test_a_form_without_its_boundary_is_told_who_sets_it(base_url: str, options: str) -> None:
    kind = f"multipart/form-data{options}"
    assert code_of(base_url, form(FILE), kind) == "malformed-upload"
    answer = exchange(base_url, post(form(FILE), kind=kind))
    assert "let the client set the Content-Type header" in json.loads(answer.body)["detail"]


@pytest.mark.parametrize("quoted", [False, True])
@pytest.mark.parametrize(
    "boundary",
    [
        *("----=_Part_7_1234.5678", "===1616056691487===", "a'()+_,-./:=?b", "a b", "b" * 70, "--"),
        "frontier ",
    ],
)
def test_a_boundary_may_have_any_characters(base_url: str, boundary: str, quoted: bool) -> None:
    value = f'"{boundary}"' if quoted else boundary
    body = form(FILE, field("x")).replace(BOUNDARY.encode(), boundary.encode())
    assert code_of(base_url, body, f"multipart/form-data; boundary={value}; charset=utf-8") == "ok"


@pytest.mark.parametrize(
    ("found", "sent"),
    [
        (b"\r\nContent-D", b" \t\r\nContent-D"),
        (b"--frontier--\r\n", b"--frontier--"),
        (b"--frontier--\r\n", b"--frontier-- \t\r\nan epilogue\r\n"),
        (b"--frontier\r\n", b"a preamble\r\n--frontier\r\n"),
    ],
    ids=["blanks", "no last line's end", "epilogue", "preamble"],
)
def test_what_stands_around_the_parts_is_read_past(
    base_url: str, found: bytes, sent: bytes
) -> None:
    assert code_of(base_url, form(FILE).replace(found, sent)) == "ok"


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
    assert code_of(base_url, form(part(PICTURE, file=file))) == "ok"


@pytest.mark.parametrize(
    "disposition",
    [
        'form-data; name="file"; filename="\u00c4pfel \u00bd.jpg"'.encode("latin-1"),
        'form-data; name="file"; filename="\u82f9\u679c.jpg"'.encode("gbk"),
        'form-data; name="file"; filename="\u30bd\u8868"'.encode("shift_jis"),
        'form-data; filename="\u30bd"; name="file"'.encode("shift_jis"),
        b"form-data; name=\"file\"; filename*=iso-8859-1''%c4pfel%3b%20name=x.jpg",
        rb'form-data; name="file"; filename="a \"b\"; name=\"x\" \\.jpg"',
        b'form-data; name="file"; filename="%22; name=x%0d%0a.jpg"',
        b"Form-Data;name=file;filename=a.jpg",
        b'form-data; name="file"',
    ],
    ids=repr,
)
def test_a_file_name_may_be_in_any_encoding(base_url: str, disposition: bytes) -> None:
    usual = b'form-data; name="file"; filename="a.jpg"'
    named = FILE.replace(usual, disposition)
    assert code_of(base_url, form(named)) == "ok"
    assert lines(base_url, form(named, FILE)) == ["ok", "ok"]


@pytest.mark.parametrize(
    "bad",
    [
        FILE.replace(b"Content-Disposition", b"Content-Nothing"),
        part(PICTURE, "no header"),
        part(PICTURE, *MORE_HEADERS),
        padded(PART_HEADER_BYTES * 20),
    ],
    ids=["no disposition", "no header", "many headers", "a long header"],
)
def test_behind_a_part_that_cannot_be_read_images_are_answered(base_url: str, bad: bytes) -> None:
    assert lines(base_url, form(FILE, bad, FILE)) == ["ok", "malformed-upload", "ok"]


def lines(url: str, body: bytes) -> list[str]:
    """The outcome of each image of a form."""
    answer = exchange(url, post(body, kind=FORM, target="/predict/batch"))
    return [json.loads(line).get("code", "ok") for line in answer.body.splitlines()]


@pytest.mark.parametrize("more", [0, 1])
def test_a_form_of_many_images_is_answered_up_to_its_limit(base_url: str, more: int) -> None:
    body = form(*[FILE] * (BATCH + more))
    assert lines(base_url, body) == ["ok"] * BATCH + ["repeated-field"] * more


@pytest.mark.wire
def test_a_form_of_many_images_that_is_too_long_is_refused_before_it_comes(base_url: str) -> None:
    length = f"Content-Length: {BATCH_BODY + 1}"
    request = head("POST", "/predict/batch", f"Content-Type: {FORM}", length)
    assert refused(exchange(base_url, request)) == "too-many-bytes"
