"""A wrong mean, channel order or order of labels is noticed by photos, and said."""

from pathlib import Path

import pytest

from greengrocer.cli.main import main
from support.exports import CLASSES, keras_graph


def told(
    capsys: pytest.CaptureFixture[str], model: Path, labels: Path, out: Path, *flags: object
) -> str:
    command = ["import", model, "--labels", labels, "--out", out, "--precision", "float32", *flags]
    assert main(list(map(str, command))) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--preset", "torchvision"), None),
        (("--preset", "torchvision", "--bgr"), "warning: with blue last, so without --bgr"),
        (("--preset", "keras-caffe"), "warning: with the mean and deviation of --preset"),
        (("--mean", 0.9, "--std", 0.1), "warning: with the mean and deviation of --preset"),
    ],
)
def test_a_preprocessing_that_another_one_beats(
    resnet: Path,
    labels: Path,
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    flags: tuple[object, ...],
    said: str | None,
) -> None:
    found = told(capsys, resnet, labels, tmp_path / "b", *flags, "--data", photos)
    assert "of 30 that judge are named right" in found
    assert said in found if said else "warning" not in found


def test_channels_in_the_wrong_order_of_a_graph_with_channels_last(
    tmp_path: Path, labels: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = keras_graph(tmp_path / "keras.onnx")
    flags = ["--preset", "keras-half", "--bgr", "--data", photos]
    assert "warning: with" in told(capsys, model, labels, tmp_path / "b", *flags)


def test_labels_in_another_order(
    resnet: Path, tmp_path: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    turned = tmp_path / "labels.txt"
    turned.write_text("\n".join([*CLASSES[1:], CLASSES[0]]))
    flags = ["--preset", "torchvision", "--data", photos]
    found = told(capsys, resnet, turned, tmp_path / "b", *flags)
    assert "are the labels in the order of the class ids?" in found
