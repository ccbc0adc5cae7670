"""The held-out images that are answered after each epoch."""

from pathlib import Path

import pytest
import torch

from greengrocer.datasets.dataset import LabelledImage, Taxonomy
from greengrocer.figures.learning_curve import Point
from greengrocer.networks.recogniser import Recogniser
from greengrocer.training.learning import curve, fit
from greengrocer.training.learning.curve import HeldOut
from greengrocer.training.recipe import Augmentation, Export, Optimisation, Recipe
from support.folders import write_folders
from support.make_images import jpeg
from support.networks import untrained

SIZE = 32
RECIPE = Recipe(
    name="greys",
    seed=3,
    backbone="efficientnet-lite0",
    pretrained=False,
    augmentation=Augmentation(image_size=SIZE),
    optimisation=Optimisation(epochs=3, batch_size=4),
)


@pytest.fixture
def images(tmp_path: Path) -> list[LabelledImage]:
    """Forty grey levels, all of class 0."""
    found = []
    for level in range(40):
        path = tmp_path / f"{level}.jpg"
        path.write_bytes(jpeg(5 * level))
        found.append(LabelledImage(path, 0))
    return found


@pytest.fixture
def first() -> Recogniser:
    """A network of two classes that always answers the first."""
    network = untrained(classes=2)
    with torch.no_grad():
        network.head.weight.zero_()
        network.head.bias.copy_(torch.tensor([1.0, -1.0]))
    return network


def test_it_counts_the_images_that_are_right(
    images: list[LabelledImage], first: Recogniser
) -> None:
    relabelled = [LabelledImage(each.path, int(n < 7)) for n, each in enumerate(images)]
    held_out = HeldOut(relabelled, Export(image_size=SIZE), seed=1)
    assert (held_out.right(first, "cpu"), len(held_out)) == (33, 40)


def test_of_many_images_some_are_drawn_the_same_after_each_epoch(
    images: list[LabelledImage], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curve, "CURVE_IMAGES", 10)
    one, again, other = (HeldOut(images, Export(image_size=SIZE), seed) for seed in (1, 1, 2))
    assert len(one) == 10
    assert torch.equal(one._planes, again._planes)
    assert not torch.equal(one._planes, other._planes)


def test_a_point_is_told_with_its_interval() -> None:
    told = Point(epoch=3, loss=0.5, right=19, of=22).told()
    assert told == "19 of 22 held-out images right (86 %, 95 % interval 67 to 95)"


def test_a_run_that_is_resumed_has_the_whole_curve(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    levels = {"dark": [10, 20, 30, 40], "light": [200, 210, 220, 230]}
    folder = write_folders(tmp_path / "data", levels)
    images = [
        LabelledImage(path, label)
        for label, name in enumerate(levels)
        for path in sorted((folder / name).iterdir())
    ]

    def train(state: Path) -> fit.Fitted:
        return fit.fit(
            RECIPE, Taxonomy(tuple(levels)), images, state, precision="float32", judged=images[::2]
        )

    judge = fit.Trainer.judge

    def stop_in_the_second(trainer: fit.Trainer, loss: float, held_out: HeldOut) -> None:
        if trainer.epoch == 2:
            raise KeyboardInterrupt
        judge(trainer, loss, held_out)

    with monkeypatch.context() as patch:
        patch.setattr(fit.Trainer, "judge", stop_in_the_second)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "state.pt")
    capsys.readouterr()
    found = train(tmp_path / "state.pt").curve
    assert [(point.epoch, point.of) for point in found] == [(1, 4), (2, 4), (3, 4)]
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch")]
    assert [line.partition(":")[0] for line in lines] == ["epoch 2", "epoch 3"]
    assert all(point.told() in line for point, line in zip(found[1:], lines, strict=True))
    assert lines[0].endswith(" of epochs left")
    assert lines[1].endswith(")"), "nothing is left after the last"
