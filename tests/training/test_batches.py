import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from greengrocer.datasets.dataset import LabelledImage, read_split
from greengrocer.errors import DatasetUnusable
from greengrocer.training.data.batches import drawn, training_batches
from greengrocer.training.recipe import Augmentation, Optimisation, Recipe
from support.folders import write_folders
from support.make_images import encoded, photo

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


LABELS = np.repeat([0, 1, 2], [90, 9, 1])


def shares(balance: float, number: int = 0) -> list[int]:
    """How often each class comes in an epoch."""
    chosen = drawn(LABELS, balance, np.random.default_rng((7, number)))
    assert len(chosen) == len(LABELS), "an epoch is as long as ever"
    return [int(np.count_nonzero(LABELS[chosen] == label)) for label in range(3)]


def test_without_balance_each_image_comes_once() -> None:
    chosen = drawn(LABELS, 0.0, np.random.default_rng(7))
    assert sorted(chosen) == list(range(100))


def test_small_classes_are_drawn_more_often() -> None:
    assert shares(1.0) == [33, 34, 33]
    assert shares(0.5) == [70, 23, 7], "in proportion to the roots of 90, 9 and 1"


def test_no_image_comes_twice_more_than_another_of_its_class() -> None:
    chosen = drawn(LABELS, 0.5, np.random.default_rng(7))
    times = np.bincount(chosen, minlength=100)
    assert set(times[:90]) == {0, 1}
    assert set(times[90:99]) == {2, 3}
    assert times[99] == 7


def test_over_the_epochs_each_image_of_a_large_class_comes() -> None:
    epochs = [drawn(LABELS, 0.5, np.random.default_rng((7, number))) for number in range(10)]
    assert set(np.concatenate(epochs)) == set(range(100))


def test_an_image_that_comes_again_comes_otherwise(
    labelled: tuple[LabelledImage, ...], tmp_path: Path
) -> None:
    (tmp_path / "photo.jpg").write_bytes(encoded(photo(1), "JPEG"))
    how = Optimisation(batch_size=6, class_balance=1.0)
    recipe = RECIPE.model_copy(update={"optimisation": how})
    few = (*labelled[:5], LabelledImage(tmp_path / "photo.jpg", 1))  # it comes three times
    ((pixels, labels),) = training_batches(few, recipe, 0, 2)
    again = pixels[labels == 1]
    assert len(again) == 3
    assert not any(torch.equal(again[a], again[b]) for a, b in ((0, 1), (0, 2), (1, 2)))
