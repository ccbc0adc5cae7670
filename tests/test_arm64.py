"""The wheel on Linux on arm64, emulated: it answers as on x86-64.

Three processors stand for the ways in which int8 is multiplied there: without dot products, with
them, and with products of matrices (i8mm). Each start replays the goldens of its bundles.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from greengrocer.datasets.gallery import built_in_gallery
from quick.conftest import draw
from support.arm64 import Arm64, skip_without_programs
from support.commands import run
from support.distributions import build_distribution
from support.environments import ROOT
from support.make_images import encoded
from support.servers import start_server
from support.stills import KINDS, still

pytestmark = [pytest.mark.accept, pytest.mark.leg("arm64")]

WITHOUT_DOT_PRODUCTS = "cortex-a72"
WITH_DOT_PRODUCTS = "neoverse-n1"
WITH_MATRIX_PRODUCTS = "max"
TOLERANCE = 0.02  # of a confidence: float32 sums are rounded in another order
Answers = list[dict[str, Any]]


@pytest.fixture(scope="module")
def arm64(tmp_path_factory: pytest.TempPathFactory) -> Arm64:
    skip_without_programs()
    wheel = build_distribution(ROOT, tmp_path_factory.mktemp("wheel"))
    return Arm64(tmp_path_factory.mktemp("arm64"), wheel)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A drawing of the gallery in each format."""
    directory = tmp_path_factory.mktemp("pictures")
    shown = {each.true_class: each.path for each in built_in_gallery().pictures}
    drawing = Image.open(shown["Granny-Smith"]).convert("RGB")
    made = {kind: encoded(drawing, kind) for kind in ("JPEG", "PNG", "WEBP")}
    made |= {kind: still(kind, drawing) for kind in KINDS}
    for kind, data in made.items():
        (directory / f"drawing.{kind.lower()}").write_bytes(data)
    return sorted(directory.iterdir())


def predicted(pictures: list[Path], bundle: str, python: str = sys.executable) -> Answers:
    done = run("predict", "--json", "--bundle", bundle, *map(str, pictures), python=python)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def same(here: Mapping[str, Any], there: Mapping[str, Any]) -> bool:
    fields = ("prediction", "answer", "known")
    near = abs(here["confidence"] - there["confidence"]) < TOLERANCE
    return near and all(here[field] == there[field] for field in fields)


@pytest.mark.parametrize("processor", [WITHOUT_DOT_PRODUCTS, WITH_MATRIX_PRODUCTS])
def test_every_format_is_answered_as_on_x86_64(
    processor: str, arm64: Arm64, pictures: list[Path]
) -> None:
    here = predicted(pictures, "grocery")
    there = predicted(pictures, "grocery", python=arm64.python(processor))
    assert len(here) == len(pictures)
    assert all(map(same, here, there)), (here, there)


def test_a_quick_head_is_trained_and_served_beside_the_bundles_that_ship(
    arm64: Arm64, pictures: list[Path], tmp_path: Path
) -> None:
    python = arm64.python(WITH_DOT_PRODUCTS)
    photos, bundle = draw(tmp_path / "photos", ["apple", "lime"]), tmp_path / "fruit"
    done = run("train", str(photos), "--quick", "--out", str(bundle), python=python)
    assert done.returncode == 0, done.stderr
    shipped = ("grocery", "fast", "tiny")
    asked = dict.fromkeys(shipped, pictures[0]) | {"fruit": photos / "lime" / "0.jpg"}
    named = dict(zip(shipped, shipped, strict=True)) | {"fruit": str(bundle)}
    bundles = [f"--bundle={name}={named[name]}" for name in asked]
    server = start_server(*bundles, python=python)
    try:
        with server.client() as client:
            for name, picture in asked.items():
                image = {"file": picture.read_bytes()}
                answer = client.post(f"/models/{name}/predict", files=image)
                assert answer.status_code == 200, answer.text
                (here,) = predicted([picture], named[name])
                assert same(here, answer.json()), (here, answer.json())
            assert answer.json()["prediction"] == "lime"
    finally:
        assert server.stop() == 0, "".join(server.log)
