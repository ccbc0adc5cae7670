import threading
from pathlib import Path

import pytest
import torch
from PIL import Image

from greengrocer.datasets.dataset import LabelledImage, read_split
from greengrocer.errors import DatasetUnusable
from greengrocer.training.data.batches import training_batches
from greengrocer.training.recipe import Augmentation, Optimisation, Recipe
from support.folders import write_folders

RECIPE = Recipe(
    name="greys",
    backbone="efficientnet-lite0",
    augmentation=Augmentation(image_size=32),
    optimisation=Optimisation(batch_size=4),
)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> tuple[LabelledImage, ...]:
    levels = {"dark": [10, 20, 30, 40, 50], "light": [200, 210, 220, 230, 240]}
    return read_split(write_folders(tmp_path_factory.mktemp("data"), levels), "train").pictures


def epoch(
    labelled: tuple[LabelledImage, ...], number: int, threads: int
) -> tuple[torch.Tensor, torch.Tensor]:
    pixels, labels = zip(*training_batches(labelled, RECIPE, number, threads), strict=True)
    return torch.stack(pixels), torch.stack(labels)


def test_an_epoch_is_the_same_however_many_threads_prepare_it(
    labelled: tuple[LabelledImage, ...],
) -> None:
    alone, together = epoch(labelled, 3, threads=1), epoch(labelled, 3, threads=4)
    assert torch.equal(alone[0], together[0])
    assert torch.equal(alone[1], together[1])


@pytest.mark.parametrize("threads", [1, 12])
def test_as_many_images_are_prepared_at_once_as_there_are_threads(
    labelled: tuple[LabelledImage, ...], threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    everyone = threading.Barrier(threads)

    def wait(*_: object) -> Image.Image:
        everyone.wait(60)  # breaks where fewer threads come
        return Image.new("RGB", (32, 32))

    monkeypatch.setattr("greengrocer.training.data.batches.read_picture", wait)
    one = RECIPE.model_copy(update={"optimisation": Optimisation(batch_size=1)})
    pictures = (labelled * 3)[: 2 * threads]
    assert len(list(training_batches(pictures, one, 0, threads))) == 2 * threads


def test_every_epoch_is_different(labelled: tuple[LabelledImage, ...]) -> None:
    assert not torch.equal(epoch(labelled, 0, 1)[0], epoch(labelled, 1, 1)[0])


def test_batches_have_one_size_and_bytes_for_pixels(labelled: tuple[LabelledImage, ...]) -> None:
    pixels, labels = epoch(labelled, 0, 2)
    assert pixels.shape == (2, 4, 3, 32, 32)
    assert pixels.dtype == torch.uint8
    assert labels.shape == (2, 4)


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    data = write_folders(tmp_path, {"dark": [10, 20], "light": [200, 210]})
    (data / "light" / "200.jpg").write_bytes(b"no image")
    with pytest.raises(DatasetUnusable, match=r"200\.jpg: the file is not an image"):
        epoch(read_split(data, "train").pictures, 0, 2)
