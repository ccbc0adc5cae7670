"""What the tests of the import share."""

from pathlib import Path

import pytest

from support.exports import CLASSES, Residual, export, taught, write_tinted


@pytest.fixture(scope="package")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty photos of each class, larger than the input and of another aspect."""
    return write_tinted(tmp_path_factory.mktemp("photos") / "photos", 20)


@pytest.fixture(scope="package")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the names of the classes."""
    path = tmp_path_factory.mktemp("labels") / "labels.txt"
    path.write_text("\n".join(CLASSES) + "\n")
    return path


@pytest.fixture(scope="package")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network like torchvision's ResNet, exported with a dynamic batch."""
    return export(taught(Residual), tmp_path_factory.mktemp("resnet") / "resnet.onnx")
