"""int8 on a CPU without int8 dot products (VNNI), where sums of products may saturate."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from greengrocer.bundles.manifest import read_manifest
from greengrocer.datasets.gallery import built_in_gallery

pytestmark = [pytest.mark.accept, pytest.mark.leg("another processor")]

EMULATOR = "qemu-x86_64"
HASWELL = (EMULATOR, "-cpu", "Haswell")  # AVX2, the least that is supported; no VNNI


def answers(
    bundle: Path, pictures: Sequence[Path], emulator: Sequence[str] = ()
) -> list[dict[str, Any]]:
    command = [*emulator, sys.executable, "-m", "greengrocer", "predict", "--json"]
    command += ["--bundle", str(bundle)]
    run = subprocess.run(
        [*command, *map(str, pictures)], capture_output=True, text=True, check=False, timeout=900
    )
    assert run.returncode == 0, run.stderr
    return [json.loads(line) for line in run.stdout.splitlines()]


def test_goldens_and_gallery_get_the_same_labels_without_vnni(shipped_bundle: Path) -> None:
    if shutil.which(EMULATOR) is None and "REQUIRE_DEBIAN_PROGRAMS" not in os.environ:
        pytest.skip("needs qemu-x86_64, from Debian's package qemu-user")
    manifest = read_manifest(shipped_bundle)
    pictures = [shown.path for shown in built_in_gallery().pictures]
    told, told_there = answers(shipped_bundle, pictures), answers(shipped_bundle, pictures, HASWELL)
    for here, there in zip(told, told_there, strict=True):
        assert abs(here["confidence"] - there["confidence"]) < manifest.golden_tolerance
        first, second = (entry["confidence"] for entry in here["top"][:2])
        assert here["prediction"] == there["prediction"] or first - second < 0.1
