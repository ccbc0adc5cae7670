import json
from pathlib import Path
from typing import Any

import pytest

from greengrocer.bundles.manifest import (
    MANIFEST,
    MAX_MANIFEST_BYTES,
    read_manifest,
    write_manifest,
)
from greengrocer.errors import BundleRefused

DIGEST = "0" * 64


@pytest.fixture
def fields(fake_bundle: Path) -> dict[str, Any]:
    """The fields of a good manifest."""
    found: dict[str, Any] = json.loads((fake_bundle / MANIFEST).read_text())
    return found


def refusal(directory: Path, text: str | bytes) -> str:
    """Why a manifest of this text is refused."""
    (directory / MANIFEST).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(BundleRefused, match=r"manifest\.json: ") as refused:
        read_manifest(directory)
    assert len(str(refused.value).splitlines()) == 1
    return str(refused.value)


def test_a_manifest_is_read_as_it_was_written(fake_bundle: Path, tmp_path: Path) -> None:
    manifest = read_manifest(fake_bundle)
    write_manifest(manifest, tmp_path)
    assert read_manifest(tmp_path) == manifest


def test_a_missing_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleRefused, match=r"manifest\.json: No such file"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000])
def test_a_manifest_that_is_no_json_object_is_refused(tmp_path: Path, text: bytes) -> None:
    assert "whole" not in refusal(tmp_path, text)


def test_too_large_a_manifest_is_refused_unread(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_bytes(b" " * (MAX_MANIFEST_BYTES + 1))
    with pytest.raises(BundleRefused, match="over 1048576 bytes"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("surprise", 1),
        ("format", 2),
        ("name", "Not A Name"),
        ("version", ""),
        ("classes", ["one"]),
        ("classes", ["same"] * 10),
        ("classes", [f"with\x1bescape{k}" for k in range(10)]),
        ("classes", [f"\x9b{k}" for k in range(10)]),
        ("classes", [f"\x7f{k}" for k in range(10)]),
        ("classes", [f"\u202e{k}" for k in range(10)]),
        ("classes", [f"\u2067{k}" for k in range(10)]),
        ("classes", [f"a\u2028{k}" for k in range(10)]),
        ("classes", [f"a\u200b{k}" for k in range(10)]),
        ("classes", ["x" * 900_000, *map(str, range(9))]),
        ("classes", ["\u3164", *map(str, range(9))]),
        ("classes", [" ", *map(str, range(9))]),
        ("coarse", ["dark\u202e", "light"]),
        ("name", "x" * 101),
        ("version", "1" * 101),
        ("description", "x" * 10_001),
        ("description", "\x1b]0;"),
        ("provenance", {"licence": "\u2066mine"}),
        ("provenance", {"a": [{"\x1b": 1}]}),
        ("provenance", {"a": "x" * 10_001}),
        ("provenance", {"a": [float("nan")]}),
        ("metrics", {"\x9b": 1.0}),
        ("metrics", {"top1": float("nan")}),
        ("metrics", {"top1": float("inf")}),
        ("metrics", {"top1": float("-inf")}),
        ("network", {"architecture": "x", "temperature": float("inf")}),
        ("network", {"architecture": "\x9b", "temperature": 1.0}),
        ("coarse", None),
        ("coarse", ["a", "b", "c"]),
        ("coarse_of", [0, 1]),
        ("coarse_of", [0] * 9 + [2]),
        ("coarse_of", [-1] * 5 + [1] * 5),
        ("geometry", {"width": 32}),
        ("known_threshold", 1.5),
        ("known_threshold", "nan"),
        ("goldens", []),
        ("golden_tolerance", 0.6),
        ("files", {}),
        ("files", {"model.onnx": DIGEST, "golden.jpg": "short"}),
    ],
)
def test_an_invalid_field_is_refused(
    fields: dict[str, Any], tmp_path: Path, field: str, value: object
) -> None:
    found = refusal(tmp_path, json.dumps({**fields, field: value}))
    assert found.isprintable()
    assert len(found) < 1000


@pytest.mark.parametrize(
    "name",
    [
        "Äpfel & Birnen",
        "リンゴ",
        "\u0a05\u0a2e\u0a3c\u200d",
        "\u0645\u06cc\u200c\u062e\u0648",
        "תפוח",
        "🍎\ufe0f",
        "a\xa0b",
    ],
)
def test_a_class_may_have_a_name_in_any_script(
    fields: dict[str, Any], tmp_path: Path, name: str
) -> None:
    classes = [name, *fields["classes"][1:]]
    (tmp_path / MANIFEST).write_text(json.dumps({**fields, "classes": classes}))
    assert read_manifest(tmp_path).classes[0] == name


@pytest.mark.parametrize(
    "name",
    ["../golden.jpg", "/etc/passwd", "a/../b", "a//b", "./a", "", "..", "a\\b", "a\0b", "a\nb"],
)
def test_a_name_that_leads_out_of_the_bundle_is_refused(
    fields: dict[str, Any], tmp_path: Path, name: str
) -> None:
    listed = {**fields, "files": {**fields["files"], name: DIGEST}}
    assert "not a plain relative path" in refusal(tmp_path, json.dumps(listed))
    golden = {**fields["goldens"][0], "file": name}
    assert "not a plain relative path" in refusal(
        tmp_path, json.dumps({**listed, "goldens": [golden]})
    )


def test_a_golden_image_without_a_digest_is_refused(fields: dict[str, Any], tmp_path: Path) -> None:
    golden = {**fields["goldens"][0], "file": "other.jpg"}
    found = refusal(tmp_path, json.dumps({**fields, "goldens": [golden]}))
    assert "files does not list other.jpg" in found
