"""The cases of the package ``multipart-form-data-conformance``, read by our reader of forms."""

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from multipart_form_data_conformance import get_tests_dir

from greengrocer.errors import MalformedUpload
from greengrocer.web.body.form import Event, Form, Part
from greengrocer.web.body.upload import read_content_type

CASES = {path.name: path for path in sorted(get_tests_dir().glob("*/*"))}
# Where we read otherwise than the case says, and why. File names and types we never look at.
DISAGREED = {
    "061-lf-only-lenient": "lines end with CRLF (RFC 2046, 4.1.1), or parsers differ on what is in",
    "062-mixed-endings": "lines end with CRLF",
    "204-invalid-content-disposition": "a part without a name is one that nobody asked for",
    "208-duplicate-headers": "readers differ on which one counts; the case allows a refusal",
}


def read(case: Path, step: int) -> list[tuple[str, bytes]] | None:
    """The names and contents of the parts, fed so many bytes at a time; None if refused."""
    content_type = json.loads((case / "headers.json").read_text())["content-type"]
    body = (case / "input.raw").read_bytes()
    parts: list[tuple[str, bytearray]] = []

    def take(event: Event) -> None:
        if isinstance(event, MalformedUpload):
            raise event
        if isinstance(event, Part):
            parts.append((event.name, bytearray()))
        elif event:
            parts[-1][1].extend(event)

    try:
        _, boundary = read_content_type({b"content-type": content_type.encode()})
        form = Form(boundary, 1, take)
        for start in range(0, len(body), step):
            form.buffer.append(body[start : start + step])
            form.read()
        form.close()
    except MalformedUpload:
        return None
    return [(name, bytes(content)) for name, content in parts]


def as_expected(parts: list[tuple[str, bytes]] | None, expected: dict[str, Any]) -> bool:
    """Whether they are the case's."""
    if parts is None or not expected["valid"]:
        return parts is None and not expected["valid"]
    names = [name for name, _ in parts]
    return names == [part["name"] for part in expected["parts"]] and all(
        holds(content, part) for (_, content), part in zip(parts, expected["parts"], strict=True)
    )


def holds(content: bytes, part: dict[str, Any]) -> bool:
    """Whether it is what the case says of a part's content, in one way or another."""
    said: dict[str, Callable[[Any], bool]] = {
        "body_text": lambda text: content == text.encode(),
        "body_base64": lambda text: content == base64.b64decode(text),
        "body_sha256": lambda digest: hashlib.sha256(content).hexdigest() == digest,
        "body_size": lambda size: len(content) == size,
    }
    checks = [check(part[key]) for key, check in said.items() if part.get(key) is not None]
    return bool(checks) and all(checks)


@pytest.mark.parametrize("step", [1, 7, 1 << 20])
@pytest.mark.parametrize("name", CASES)
def test_a_form_is_read_as_the_case_says_or_the_difference_is_documented(
    name: str, step: int
) -> None:
    expected = json.loads((CASES[name] / "test.json").read_text())["expected"]
    assert as_expected(read(CASES[name], step), expected) == (name not in DISAGREED)


def test_every_documented_difference_belongs_to_a_case() -> None:
    assert set(DISAGREED) < set(CASES)
