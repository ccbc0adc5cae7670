"""What belongs together is one group: near-duplicates, bursts, scenes and places."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from greengrocer.datachecks.findings import Copy, Crossing, Duplicate
from greengrocer.datachecks.groups import Groups, Tie, find_groups, whole_places
from greengrocer.datachecks.taken import read_taken
from greengrocer.datasets.dataset import LabelledImage
from greengrocer.engines.engine import Floats
from support.checked_folders import made_up, no_thumbnails, read_thumbnails, taken_at
from support.make_images import encoded, photo


def spread(count: int, seed: int = 0) -> Floats:
    """Features whose cosines are about 0.5."""
    random = np.random.default_rng(seed)
    return (random.standard_normal((count, 64)) + 1).astype(np.float32)


def alike(base: Floats, cosine: float, seed: int = 5) -> Floats:
    """A row of that cosine with ``base``."""
    other = np.random.default_rng(seed).standard_normal(len(base))
    unit = base / np.linalg.norm(base)
    other -= unit * (other @ unit)
    other /= np.linalg.norm(other)
    return np.asarray(unit * cosine + other * (1 - cosine**2) ** 0.5, np.float32)


def test_nothing_in_common_makes_groups_of_one() -> None:
    images = made_up([0, 0, 1, 1], "shot x")
    assert find_groups(images[::2], spread(2), no_thumbnails(2)).of == (0, 1)


def test_a_scene_is_of_one_class() -> None:
    images = (*made_up([0, 0, 1]), *made_up([0], "z"))
    features = spread(4)
    features[1] = alike(features[0], 0.93)
    features[2] = alike(features[0], 0.93, 6)
    groups = find_groups(images, features, no_thumbnails(4))
    assert groups.of == (0, 0, 1, 2)
    assert set(groups.ties) == {0}


def test_classes_that_resemble_one_another_raise_the_bar_of_a_scene() -> None:
    """Where strangers have a cosine of 0.95, 0.9 says nothing."""
    random = np.random.default_rng(1)
    features = (random.standard_normal((40, 64)) + 4).astype(np.float32)  # cosines of about 0.94
    images = [
        LabelledImage(Path(f"/photos/{at % 2}/{'abcdefghij'[at // 4]}{at % 4 * 3}.jpg"), at % 2)
        for at in range(40)
    ]
    groups = find_groups(images, features, no_thumbnails(40))
    assert groups.scene_cosine > 0.94
    assert len(set(groups.of)) > 20


def test_consecutive_names_are_a_burst_where_the_images_agree() -> None:
    images = made_up([0, 0, 0, 0])
    features = spread(4)
    features[1] = alike(features[0], 0.84)
    groups = find_groups(images, features, no_thumbnails(4))
    assert groups.of == (0, 0, 1, 2)
    assert groups.ties == {0: (Tie.BURST,)}


def test_seconds_between_two_shots_are_a_burst() -> None:
    images = [LabelledImage(Path(f"/photos/fig/{name}.jpg"), 0) for name in ("a", "q", "z")]
    features = spread(3)
    features[2] = alike(features[0], 0.84)
    features[1] = alike(features[0], 0.84, 9)
    times = taken_at(no_thumbnails(3), [1000.0, 5000.0, 1004.0])
    assert find_groups(images, features, times).of == (0, 1, 0)


def test_near_duplicates_are_one_group_across_classes() -> None:
    images = [LabelledImage(Path(f"/photos/{name}.jpg"), label) for label, name in enumerate("pq")]
    copy = Duplicate(images[1].path, images[0].path, Copy.NEAR, Crossing.CLASSES, 0.9, "")
    groups = find_groups(images, spread(2), no_thumbnails(2), [copy])
    assert groups.of == groups.copies == (0, 0)
    assert groups.ties == {0: (Tie.DUPLICATE,)}


def test_sub_folders_that_recur_in_classes_are_places() -> None:
    names = ("fig/shop-a/k", "fig/shop-a/p", "fig/shop-b/k", "kale/shop-a/k", "kale/shop-b/k")
    images = [
        LabelledImage(Path(f"/photos/{name}.jpg"), int(name.startswith("kale"))) for name in names
    ]
    groups = find_groups(images, spread(5), no_thumbnails(5))
    assert groups.of == (0, 0, 1, 2, 3)
    assert groups.ties == {0: (Tie.PLACE,)}


@pytest.mark.parametrize(("one", "two"), [("train", "val"), ("Testing", "validation")])
def test_splits_below_a_class_are_no_places(one: str, two: str) -> None:
    names = (f"fig/{one}/k", f"fig/{one}/p", f"fig/{two}/k", f"kale/{one}/k", f"kale/{two}/k")
    images = [
        LabelledImage(Path(f"/photos/{name}.jpg"), int(name.startswith("kale"))) for name in names
    ]
    assert find_groups(images, spread(5), no_thumbnails(5)).of == (0, 1, 2, 3, 4)


def test_the_cameras_time_is_read(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = "2026:05:04 10:20:30"
    path = tmp_path / "shot.jpg"
    path.write_bytes(encoded(photo(1), "JPEG", exif=exif))
    again = tmp_path / "later.jpg"
    exif.get_ifd(0x8769)[0x9003] = "2026:05:04 10:20:37"
    again.write_bytes(encoded(photo(2), "JPEG", exif=exif))
    plain = tmp_path / "plain.jpg"
    plain.write_bytes(encoded(photo(3), "JPEG"))
    taken = read_thumbnails([LabelledImage(each, 0) for each in (path, again, plain)]).taken
    assert taken[1] - taken[0] == 7
    assert np.isnan(taken[2])


def test_a_damaged_time_is_none() -> None:
    exif = Image.Exif()
    exif[0x0132] = "0000:00:00 00:00:00"
    data = encoded(photo(1), "JPEG", exif=exif)
    assert np.isnan(read_taken(data))
    start = data.index(b"Exif\0\0")
    for end in range(start, start + 60):
        assert np.isnan(read_taken(data[:end]))
    assert np.isnan(read_taken(b"Exif\0\0II*\0\xff\xff\xff\xff"))


def test_a_place_is_one_group_of_any_classes() -> None:
    """An image of no place keeps its group, and a near-duplicate follows into the other's place."""
    scenes = Groups(
        (0, 1, 0, 2, 3, 4, 4, 5), {0: (Tie.SCENE,), 4: (Tie.BURST,)}, 0.9, (*range(7), 0)
    )
    found = whole_places(scenes, ["n", "n", "s", "s", "e", None, None, None])
    assert found.of == (0, 0, 1, 1, 2, 3, 3, 0)
    assert found.ties == {0: (Tie.PLACE,), 1: (Tie.PLACE,), 3: (Tie.BURST,)}
