"""Multipart forms as real clients send them are read, in chunks of any size."""

import gc
import json
import weakref

import httpx
import pytest
from conformance.wire import exchange, post
from hypothesis import given
from hypothesis import strategies as st

from greengrocer.errors import MalformedUpload
from greengrocer.web.body.form import (
    MAX_LONGER,
    MAX_PADDING,
    MAX_PART_HEADER_BYTES,
    MAX_PART_HEADER_LINES,
    MAX_PART_HEADERS,
    OTHER_PARTS,
    Event,
    Form,
    Part,
)
from greengrocer.web.body.upload import read_content_type
from support.forms import BOUNDARY, FORM, form, part
from support.make_images import jpeg
from support.problems import problem_of

PICTURE = jpeg(250)
LEVEL = "grey-9"
NAME = 'form-data; name="file"'
# Each byte of these is one of a letter, in some encoding: 0x5C and 0x7C stand second in many.
SJIS, BIG5 = "ソ表".encode("shift_jis"), "功蓋".encode("big5")


def of(boundary: str, content: bytes = PICTURE, end: str = "\r\n", padding: str = "") -> bytes:
    """A form of one image."""
    head = f"--{boundary}{padding}\r\nContent-Disposition: {NAME}\r\n\r\n".encode()
    return head + content + f"\r\n--{boundary}--{end}".encode()


def with_disposition(value: bytes) -> bytes:
    """A form whose image has this Content-Disposition."""
    return form(part(PICTURE)).replace(f'{NAME}; filename="a.jpg"'.encode(), value)


def told(kind: str, body: bytes, step: int = 1 << 20) -> list[tuple[str, bytes] | str]:
    """The names and contents of the parts, or why one cannot be read."""
    parts: list[tuple[str, bytes] | str] = []

    def take(event: Event) -> None:
        if isinstance(event, MalformedUpload):
            parts.append(str(event))
        elif isinstance(event, Part):
            parts.append((event.name, b""))
        elif event is not None:
            begun = parts.pop()
            assert isinstance(begun, tuple)
            parts.append((begun[0], begun[1] + event))

    _, boundary = read_content_type({b"content-type": kind.encode("latin-1")})
    reader = Form(boundary, 1, take)
    for start in range(0, len(body), step):
        reader.buffer.append(body[start : start + step])
        reader.read()
    reader.close()
    return parts


DISPOSITIONS = {
    "Latin-1": NAME.encode() + '; filename="Äpfel ½.jpg"'.encode("latin-1"),
    "GBK": NAME.encode() + '; filename="苹果.jpg"'.encode("gbk"),
    "Shift JIS": NAME.encode() + b'; filename="' + SJIS + b'"',
    "Shift JIS before the name": b'form-data; filename="' + SJIS + b'\\"; name="file"',
    "Big5, an escape at its end": NAME.encode() + b'; filename="' + BIG5 + b'\\"',
    "any byte": NAME.encode() + b'; filename="' + bytes({*range(256)} - set(b'\r\n"')) + b'"',
    "a line feed": NAME.encode() + b'; filename="a\nb.jpg"',
    "UTF-16": NAME.encode() + '; filename="apple.jpg"'.encode("utf-16-le"),
    "RFC 5987": NAME.encode() + b"; filename*=UTF-8''%e8%8b%b9%3B%20name=x.jpg",
    "both names": NAME.encode() + b"; filename=\"?.jpg\"; filename*=gbk'zh'%C6%BB.jpg",
    "quotes and backslashes": NAME.encode() + rb'; filename="a \"b\"; name=\"x\" \\.jpg"',
    "quotes without escapes": NAME.encode() + b'; filename="a "b"; name=c.jpg"',
    "percent-encoded": NAME.encode() + b'; filename="%22%0D%0A; name=x.jpg"',
    "a Windows path": NAME.encode() + rb'; filename="C:\photos\a.jpg"',
    "no file name": NAME.encode(),
    "an empty file name": NAME.encode() + b'; filename=""',
    "an unquoted file name": NAME.encode() + b"; filename=ein Apfel.jpg",
    "no quotes": b"form-data; name=file; filename=a.jpg",
    "no blanks": b'form-data;name="file";filename="a.jpg"',
    "many blanks": b' \tform-data ;\t name = "file" ; filename = a.jpg ',
    "capitals": b'Form-Data; NAME="file"; FileName="a.jpg"',
    "the name last": b'form-data; filename="a; b.jpg"; size=3; name="file"',
    "an escape in the name": rb'form-data; name="fi\le"',
    "folded": b'form-data;\r\n name="file";\r\n\tfilename="a.jpg"',
    "an open quote behind": NAME.encode() + b'; filename="a.jpg',
}


@pytest.mark.parametrize("name", DISPOSITIONS)
@pytest.mark.parametrize("step", [1, 1 << 20])
def test_any_file_name_is_accepted(name: str, step: int) -> None:
    body = with_disposition(DISPOSITIONS[name])
    assert told(FORM, body, step) == [("file", PICTURE)]


@pytest.mark.parametrize("name", DISPOSITIONS)
def test_the_service_answers_with_any_file_name(client: httpx.Client, name: str) -> None:
    body = with_disposition(DISPOSITIONS[name])
    for target in ("/predict", "/predict/batch"):
        answer = exchange(str(client.base_url), post(body, kind=FORM, target=target))
        assert json.loads(answer.body)["prediction"] == LEVEL


UNQUOTED = [
    "----=_Part_7_1234.5678",
    "===1616056691487===",
    "=_boundary",
    "a=b",
    "--------------------------d74496d66958873e",
    "----WebKitFormBoundaryAb12",
    "Boundary-DF8B/4C:7",
    "a'()+_,-./:=?b",
    "x@y#z%25",
    "a b c",
    "simple boundary[1]{2}",
    "b" * 70,
    "b" * 500,
    "--",
    "\u00e4",
]


@pytest.mark.parametrize("boundary", UNQUOTED)
@pytest.mark.parametrize("quoted", [False, True])
@pytest.mark.parametrize("step", [1, 1 << 20])
def test_a_boundary_may_have_any_characters(boundary: str, quoted: bool, step: int) -> None:
    value = f'"{boundary}"' if quoted else boundary
    kind = f"multipart/form-data; boundary={value}"
    body = of(BOUNDARY).replace(BOUNDARY.encode(), boundary.encode("latin-1"))
    assert told(kind, body, step) == [("file", PICTURE)]


@pytest.mark.parametrize(
    "kind",
    [
        'multipart/form-data; boundary="frontier "',
        "multipart/form-data; boundary=frontier ; charset=utf-8",
        "multipart/form-data; boundary=frontier ",
        "MULTIPART/Form-Data; BOUNDARY=frontier",
        "multipart/form-data;boundary=frontier;charset=utf-8",
        'multipart/form-data; charset="a; boundary=b"; boundary=frontier',
        "multipart/form-data; boundary=frontier; boundary=frontier",
        "multipart/form-data; ; boundary = frontier;",
        "multipart/form-data;\tboundary=frontier",
        'multipart/form-data; boundary="front\\ier"',
    ],
)
@pytest.mark.parametrize("boundary", ["frontier", "frontier "])
def test_the_content_type_may_be_written_in_many_ways(kind: str, boundary: str) -> None:
    assert told(kind, of(boundary)) == [("file", PICTURE)]


@pytest.mark.parametrize(
    "body",
    [
        of(BOUNDARY, padding=" "),
        of(BOUNDARY, padding=" \t" * (MAX_PADDING // 2)),
        of(BOUNDARY, end=""),
        of(BOUNDARY, end="  \r\nsome text\r\n--frontier\r\n"),
        of(f"{BOUNDARY} "),
        b"\r\n" + of(BOUNDARY),
        b"some text\r\n--frontie\r\n--frontierer\r\n" + of(BOUNDARY),
        b"text\n\n\r\n" + of(BOUNDARY),
    ],
    ids=[
        *("a blank", "many blanks", "no last line's end", "an epilogue", "blanks everywhere"),
        *("an empty line", "a preamble", "a preamble of LF lines"),
    ],
)
@pytest.mark.parametrize("step", [1, 2, 3, 7, 1 << 20])
def test_preamble_and_epilogue_are_ignored(body: bytes, step: int) -> None:
    assert told(FORM, body, step) == [("file", PICTURE)]


@pytest.mark.parametrize("content", [b"", b"\r\n", b"\r", b"\r\n--", b"\r\n--frontie", b"--front"])
@pytest.mark.parametrize("step", [1, 1 << 20])
def test_content_similar_to_a_boundary_is_content(content: bytes, step: int) -> None:
    assert told(FORM, of(BOUNDARY, content), step) == [("file", content)]
    longer = content + b"\r\n--frontierer\r\n\r\n--frontier-\r\n"
    assert told(FORM, of(BOUNDARY, longer), step) == [("file", longer)]


def test_many_lines_that_begin_like_the_boundary_are_refused() -> None:
    line = b"\r\n--frontierer"
    assert told(FORM, of(BOUNDARY, line * MAX_LONGER)) == [("file", line * MAX_LONGER)]
    with pytest.raises(MalformedUpload, match="begin like its boundary"):
        told(FORM, of(BOUNDARY, line * (MAX_LONGER + 1)))


def test_a_part_without_a_body_needs_only_one_empty_line() -> None:
    empty = f"--{BOUNDARY}\r\nContent-Disposition: form-data; name=x\r\n".encode()
    for step in (1, 1 << 20):
        assert told(FORM, empty + b"\r\n" + of(BOUNDARY), step) == [("x", b""), ("file", PICTURE)]


@given(
    st.lists(st.tuples(st.sampled_from(["file", "x"]), st.binary(max_size=40)), max_size=4),
    st.sampled_from(["-", "frontier", "=_1", "\r\n--"[2:]]),
    st.integers(1, 60),
)
def test_a_form_is_read_as_it_was_written(
    parts: list[tuple[str, bytes]], boundary: str, step: int
) -> None:
    delimiter = f"\r\n--{boundary}".encode()
    kept = [(name, content) for name, content in parts if delimiter not in b"\r\n" + content]
    body = b"".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode()
        + content
        + b"\r\n"
        for name, content in kept
    )
    body += f"--{boundary}--".encode()
    assert told(f"multipart/form-data; boundary={boundary}", body, step) == kept


BAD = {
    "no Content-Disposition": b"--frontier\r\nContent-Type: image/jpeg\r\n\r\nx\r\n",
    "no header": b"--frontier\r\n\r\nx\r\n",
    "an attachment": form(part(b"x")).replace(b"form-data", b"attachment")[:-14],
    "a line that is no header": part(b"x", "file", "no header"),
    "a name that is none": part(b"x", "file", "a b\xff: c"),
    "two headers Content-Disposition": part(
        b"x", "file", 'Content-Disposition: form-data; name="other"'
    ),
    "many headers": part(b"x", "file", *["X: y"] * MAX_PART_HEADERS),
    "a long header": part(b"x", "file", "X: ".ljust(MAX_PART_HEADER_BYTES + 1, "y")),
    "many folded lines": part(b"x", "file", "X: y", *[" z"] * MAX_PART_HEADER_LINES),
    "a very long header": part(b"x", "file", "X: ".ljust(90_000, "y")),
    "a long folded header": part(b"x", "file", "X: y", *[" " + "y" * 2000] * 3),
    "a line that ends with LF": part(b"x", "file", "X: y\nX: z"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("step", [1, 1000, 1 << 20])
def test_parts_after_an_unreadable_one_are_read(name: str, step: int) -> None:
    first, second, third = told(FORM, form(part(PICTURE), BAD[name], part(PICTURE)), step)
    assert first == third == ("file", PICTURE)
    assert isinstance(second, str)
    assert second.startswith("a part of the form cannot be read: ")


@pytest.mark.parametrize("name", BAD)
def test_in_a_batch_the_parts_after_an_unreadable_one_are_answered(
    client: httpx.Client, name: str
) -> None:
    body = form(part(PICTURE), BAD[name], part(PICTURE))
    answer = exchange(str(client.base_url), post(body, kind=FORM, target="/predict/batch"))
    lines = [json.loads(line) for line in answer.body.splitlines()]
    assert [line["index"] for line in lines] == [0, 1, 2]
    assert [line.get("code", "ok") for line in lines] == ["ok", "malformed-upload", "ok"]
    alone = exchange(str(client.base_url), post(form(BAD[name]), kind=FORM))
    assert json.loads(alone.body)["detail"] == lines[1]["detail"]


@pytest.mark.parametrize(
    ("others", "status"), [(20, 200), (50, 200), (OTHER_PARTS, 200), (OTHER_PARTS + 1, 400)]
)
def test_a_form_may_have_many_other_fields(client: httpx.Client, others: int, status: int) -> None:
    fields = {f"field-{number}": "some text " * 20 for number in range(others)}
    response = client.post("/predict", data=fields, files={"file": PICTURE})
    assert response.status_code == status
    if status != 200:
        problem = problem_of(status, response.headers, response.content)
        assert f"more than {OTHER_PARTS + 1} parts" in problem.detail


RAW = [
    *("image/jpg", "image/pjpeg", "image/x-png", "image/png", "image/gif", "image/*", "image"),
    *("application/octet-stream", "binary/octet-stream", "Application/Octet-Stream; charset=x"),
    *("application/x-octet-stream", "application/binary", "*/*", "", "IMAGE/JPEG;q=1"),
]


@pytest.mark.parametrize("kind", RAW)
@pytest.mark.parametrize("target", ["/predict", "/explain"])
def test_the_declared_type_of_an_image_is_ignored(
    client: httpx.Client, kind: str, target: str
) -> None:
    headers = {"Content-Type": kind} if kind else {}
    assert client.post(target, content=PICTURE, headers=headers).status_code == 200


@pytest.mark.parametrize("kind", ["image/jpeg", "application/octet-stream", ""])
def test_a_form_sent_as_an_image_is_refused_with_advice(client: httpx.Client, kind: str) -> None:
    headers = {"Content-Type": kind} if kind else {}
    response = client.post("/predict", content=form(part(PICTURE)), headers=headers)
    problem = problem_of(400, response.headers, response.content)
    assert problem.code == "malformed-upload"
    assert "let the client set the Content-Type header" in problem.detail


@pytest.mark.parametrize(
    "kind",
    [
        *("application/json", "application/problem+json", "text/plain", "text/html", "text/csv"),
        *("application/x-www-form-urlencoded", "application/xml", "application/pdf", "video/mp4"),
        *("multipart/mixed; boundary=frontier", "multipart/related", "form-data", "application/*x"),
    ],
)
def test_a_body_of_another_type_is_refused_with_the_accepted_ones(
    client: httpx.Client, kind: str
) -> None:
    response = client.post("/predict", content=PICTURE, headers={"Content-Type": kind})
    problem = problem_of(415, response.headers, response.content)
    assert problem.code == "unsupported-content-type"
    assert kind.partition(";")[0] in problem.detail
    assert "multipart/form-data" in problem.detail
    assert "image/jpeg" in problem.detail


def test_a_form_is_freed_with_its_last_reference() -> None:
    """It holds the upload, by what takes its parts: the collector may come much later."""
    told: list[Event] = []
    for body in (form(part(PICTURE)), form(part(PICTURE))[:-20]):
        read = Form(BOUNDARY, 1, told.append)
        read.buffer.append(body)
        read.read()
        gone = weakref.ref(read)
        gc.disable()
        try:
            del read
            assert gone() is None
        finally:
            gc.enable()
