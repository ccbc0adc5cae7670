"""The bill of materials of the container image."""

import json
from typing import Any

import pytest
from cyclonedx.validation.json import JsonStrictValidator
from packaging.utils import canonicalize_name
from tools.sbom import VERSION, bill

from greengrocer import __version__
from greengrocer.bundles.bundle import shipped_bundles
from greengrocer.bundles.manifest import read_manifest
from support.dockerfile import Image

pytestmark = [pytest.mark.accept, pytest.mark.leg("image")]


@pytest.fixture(scope="module")
def text(image: Image) -> str:
    return bill(image.root / "opt" / "greengrocer" / "bin" / "python")


@pytest.fixture(scope="module")
def said(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text)
    return found


def test_the_sbom_is_cyclonedx(text: str, said: dict[str, Any]) -> None:
    assert JsonStrictValidator(VERSION).validate_str(text) is None
    assert said["metadata"]["component"]["version"] == __version__


def test_the_sbom_names_exactly_the_pinned_packages(
    said: dict[str, Any], pinned: dict[str, str]
) -> None:
    found = {
        canonicalize_name(each["name"]): each["version"]
        for each in said["components"]
        if each["type"] == "library"
    }
    assert found == pinned


def test_the_sbom_names_the_models_with_their_digests(said: dict[str, Any]) -> None:
    found = {
        (each["version"], each["hashes"][0]["content"])
        for each in said["components"]
        if each["type"] == "machine-learning-model"
    }
    shipped = [read_manifest(directory) for directory in shipped_bundles().values()]
    assert found == {(each.version, each.files["model.onnx"]) for each in shipped}


def test_the_sbom_is_reproducible_and_has_no_local_paths(text: str, image: Image) -> None:
    assert bill(image.root / "opt" / "greengrocer" / "bin" / "python") == text
    assert "file://" not in text
    assert str(image.root) not in text
    assert "serialNumber" not in json.loads(text)
