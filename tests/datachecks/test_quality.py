"""Images that teach little are told by what is wrong with them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from greengrocer.datachecks.findings import FlawKind
from greengrocer.datachecks.groups import Groups
from greengrocer.datachecks.quality import find_flaws, find_one_scene
from greengrocer.datachecks.thumbnails import Thumbnails
from greengrocer.datasets.dataset import LabelledImage
from support.checked_folders import gallery_folder, labelled, made_up, no_thumbnails, seen

KINDS = {
    "tiny.png": FlawKind.TINY,
    "plain.png": FlawKind.UNIFORM,
    "night.png": FlawKind.DARK,
    "soft.png": FlawKind.BLURRED,
}


@pytest.fixture
def drawn(tmp_path: Path) -> tuple[LabelledImage, ...]:
    return gallery_folder(tmp_path / "photos")


def test_drawings_have_no_flaw(drawn: tuple[LabelledImage, ...]) -> None:
    assert find_flaws(drawn, *seen(drawn)) == ()


def test_each_flaw_is_found_and_said(drawn: tuple[LabelledImage, ...]) -> None:
    with Image.open(drawn[0].path) as file:
        image = file.convert("RGB")
    changed = {
        "tiny.png": image.resize((40, 30)),
        "plain.png": Image.new("RGB", image.size, (200, 190, 180)),
        "night.png": image.point(lambda level: level * 0.15),
        "soft.png": image.filter(ImageFilter.GaussianBlur(max(image.size) / 25)),
    }
    images = list(drawn)
    for name, each in changed.items():
        each.save(drawn[0].path.with_name(name))
        images.append(labelled(drawn[0].path.with_name(name), 0))
    flaws = find_flaws(images, *seen(images))
    assert {flaw.path.name: flaw.kind for flaw in flaws} == KINDS
    assert all(flaw.reason for flaw in flaws)
    tiny = next(flaw for flaw in flaws if flaw.kind is FlawKind.TINY)
    assert "40 x 30 pixels" in tiny.reason


def test_an_image_unlike_its_class_and_any_other_is_odd() -> None:
    random = np.random.default_rng(0)
    centres = random.standard_normal((4, 64)) * 3
    labels = [at % 4 for at in range(120)]
    features = centres[labels] + random.standard_normal((120, 64))
    features[17] = -centres.sum(axis=0)
    images = made_up(labels)
    (odd,) = find_flaws(images, features.astype(np.float32), varied_thumbnails(120))
    assert (odd.path, odd.kind) == (images[17].path, FlawKind.ODD)


def varied_thumbnails(count: int) -> Thumbnails:
    """Thumbnails with contrast, so that none is plain."""
    thumbnails = no_thumbnails(count)
    thumbnails.grey[:, ::2] = 30
    return thumbnails


def test_a_class_of_one_group_is_one_scene() -> None:
    images = made_up([0, 0, 0, 1, 1, 2])
    (scene,) = find_one_scene(images, Groups((0, 0, 0, 1, 2, 3), {}, 0.88, ()), ["fig", "a", "b"])
    assert scene.label == 0
    assert len(scene.paths) == 3
    assert "all 3 images of fig show one scene" in scene.reason
