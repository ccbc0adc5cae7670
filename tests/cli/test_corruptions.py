"""``greengrocer evaluate --corruptions``, with the model that ships and its golden images."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from greengrocer.bundles.manifest import read_manifest
from support.folders import write_folders

Command = Callable[..., CompletedProcess[str]]
NAMES = ["noise", "blur", "brightness", "contrast", "jpeg", "downscaling", "rotation"]


@pytest.fixture
def data(grocery_bundle: Path, tmp_path: Path) -> Path:
    """Two goldens, each in the folder of the class that the model is known to see in it."""
    for golden in read_manifest(grocery_bundle).goldens[:2]:
        folder = tmp_path / "data" / golden.prediction
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(grocery_bundle / golden.file, folder)
    return tmp_path / "data"


def test_json_and_report_include_the_corruptions(
    greengrocer: Command, grocery_bundle: Path, data: Path, tmp_path: Path
) -> None:
    flags = ("--corruptions", "--json", "--report", tmp_path / "report")
    done = greengrocer("evaluate", "--data", data, "--bundle", grocery_bundle, *flags)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    found = figures["corruptions"]
    assert set(found) == {"relative_loss_1_to_3", "fine_top1"}
    assert list(found["fine_top1"]) == NAMES
    assert all(len(shares) == 5 for shares in found["fine_top1"].values())
    judged = [share for shares in found["fine_top1"].values() for share in shares[:3]]
    loss = 1 - sum(judged) / len(judged) / figures["fine_top1"]
    assert found["relative_loss_1_to_3"] == pytest.approx(loss)
    page = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert "When the images are bad" in page
    assert "JPEG quality at severity 5, answered" in page
    assert "corruptions:" not in done.stderr  # a bar is for a terminal


def test_text_is_a_table_of_corruptions_and_severities(
    greengrocer: Command, onnx_bundle: Path, tmp_path: Path
) -> None:
    data = write_folders(tmp_path / "greys", {"grey-4": [115], "grey-5": [140]})
    done = greengrocer("evaluate", "--data", data, "--bundle", onnx_bundle, "--corruptions")
    assert done.returncode == 0, done.stderr
    *_, header, noise, blur, brightness, contrast, jpeg, downscaling, rotation, mean, loss = (
        done.stdout.splitlines()
    )
    assert header == "right class under corruptions, at severities 1 to 5:"
    rows = [noise, blur, brightness, contrast, jpeg, downscaling, rotation, mean]
    assert [row.split()[0] for row in rows] == [*NAMES, "mean"]
    assert all(row.count("%") == 5 for row in rows)
    assert loss.startswith("  relative loss at severities 1 to 3: ")


def test_without_the_flag_no_image_is_corrupted(
    greengrocer: Command, onnx_bundle: Path, tmp_path: Path
) -> None:
    data = write_folders(tmp_path / "greys", {"grey-4": [115]})
    done = greengrocer("evaluate", "--data", data, "--bundle", onnx_bundle, "--json")
    assert "corruptions" not in json.loads(done.stdout)
    assert "corruptions" not in done.stderr
