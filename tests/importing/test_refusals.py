"""What cannot be imported is refused in one line that says what to do, and nothing is written."""

import json
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import torch
from torch import nn

from greengrocer.cli.main import main
from support.exports import CLASSES, Residual, add_metadata, export, write_tinted

TORCHVISION = ("--preset", "torchvision")


def refuse(capsys: pytest.CaptureFixture[str], model: Path, out: Path, *flags: object) -> str:
    """What the command says; it must be one line."""
    assert main(["import", str(model), "--out", str(out), *map(str, flags)]) == 2
    assert not out.exists()
    assert not list(out.parent.glob(".greengrocer-*"))
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


def write(text: str) -> Callable[[Path], Path]:
    def at(path: Path) -> Path:
        path.write_text(text)
        return path

    return at


@pytest.mark.parametrize(
    ("make", "flags", "said"),
    [
        (write("no model"), TORCHVISION, "is not a sound ONNX model"),
        (lambda path: path, TORCHVISION, "No such file"),
        (lambda path: export(nn.Sigmoid(), path), TORCHVISION, "has the outputs"),
        (
            lambda path: export(nn.Sequential(Residual(), nn.Sigmoid()), path),
            TORCHVISION,
            "ends in a sigmoid",
        ),
        (
            lambda path: add_metadata(export(Residual(), path), task="detect"),
            (),
            "only one that was made to classify",
        ),
    ],
)
def test_models(
    make: Callable[[Path], Path],
    flags: tuple[str, ...],
    said: str,
    tmp_path: Path,
    labels: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = make(tmp_path / "model.onnx")
    assert said in refuse(capsys, model, tmp_path / "out", *flags, "--labels", labels)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ((), "does not say how its images are made: give --preset"),
        (("--mean", 0.5), "does not say how its images are made: give --preset"),
        ((*TORCHVISION, "--size", 64), "takes a width of 32, not 64"),
        ((*TORCHVISION, "--crop", 2), "--crop is 2: it is a share"),
        ((*TORCHVISION, "--mean", "1,2"), "--mean has 2 values"),
        ((*TORCHVISION, "--resize", 20), "shorter_side is smaller than the crop"),
        ((*TORCHVISION, "--std", 0), "the deviation of pixels must be over 0"),
        ((*TORCHVISION, "--output", "score"), "has no output score: it has output"),
        ((*TORCHVISION, "--layout", "nhwc"), "not of RGB"),
        ((*TORCHVISION, "--config", "none.json"), "none.json: No such file"),
    ],
)
def test_flags(
    flags: tuple[object, ...],
    said: str,
    resnet: Path,
    tmp_path: Path,
    labels: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert said in refuse(capsys, resnet, tmp_path / "out", *flags, "--labels", labels)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "does not name its 3 classes: give --labels"),
        ("a\nb\n", "labels.txt has 2 labels: it must have 3"),
        ("a\n\nb\nc\n", "line 2 is empty"),
    ],
)
def test_labels(
    text: str | None,
    said: str,
    resnet: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    flags: list[object] = []
    if text is not None:
        (tmp_path / "labels.txt").write_text(text)
        flags = ["--labels", tmp_path / "labels.txt"]
    assert said in refuse(capsys, resnet, tmp_path / "out", *TORCHVISION, *flags)


def test_photos_of_other_classes_or_too_few(
    resnet: Path, tmp_path: Path, labels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = write_tinted(tmp_path / "few", 3)
    flags = [*TORCHVISION, "--labels", labels, "--data"]
    assert "at least 20 must" in refuse(capsys, resnet, tmp_path / "out", *flags, few)
    for name in CLASSES:
        (few / name).rename(few / f"no {name}")
    said = refuse(capsys, resnet, tmp_path / "out", *flags, few)
    assert "which are no classes of the model" in said


def test_a_graph_that_does_not_answer_as_its_source_is_not_written(
    resnet: Path,
    tmp_path: Path,
    labels: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Were images resized otherwise than the framework does it, the proof would tell."""
    from greengrocer.importing import frameworks
    from greengrocer.importing.preprocessing import Preprocessing

    original = frameworks.resized

    def shifted(data: bytes, how: Preprocessing, size: tuple[int, int]) -> object:
        return original(data, how, size)[:, ::-1] * 0.7

    monkeypatch.setattr(frameworks, "resized", shifted)
    said = refuse(capsys, resnet, tmp_path / "out", *TORCHVISION, "--labels", labels)
    assert "from the file of" in said
    assert "nothing was written" in said


def test_a_bundle_that_is_there_is_not_overwritten(
    resnet: Path, tmp_path: Path, labels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["import", str(resnet), "--labels", str(labels), *TORCHVISION, "--out", str(tmp_path)]
    assert main(flags) == 2
    assert "exists: delete it, or name another --out" in capsys.readouterr().err


def test_an_old_opset(
    resnet: Path, tmp_path: Path, labels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = onnx.load(resnet)
    model.opset_import[0].version = 9
    onnx.save(model, tmp_path / "old.onnx")
    said = refuse(capsys, tmp_path / "old.onnx", tmp_path / "out", "--labels", labels)
    assert "has the ONNX opset 9: 11 or later is needed" in said or "not a sound" in said


def test_the_config_of_another_kind_of_model(
    resnet: Path, tmp_path: Path, labels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "preprocessor_config.json"
    config.write_text(json.dumps({"do_normalize": True, "image_mean": [0.5]}))
    said = refuse(capsys, resnet, tmp_path / "out", "--labels", labels, "--config", config)
    assert "has an unknown form" in said


def test_a_batch_that_no_layer_allows_to_change(
    tmp_path: Path, labels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Fixed(Residual):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) + torch.arange(4.0)[:, None]

    export(Fixed(), tmp_path / "fixed.onnx", batch=4)
    said = refuse(
        capsys, tmp_path / "fixed.onnx", tmp_path / "out", *TORCHVISION, "--labels", labels
    )
    assert "takes exactly 4 images at once" in said
