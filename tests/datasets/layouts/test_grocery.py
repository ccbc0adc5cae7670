from pathlib import Path

import pytest

from greengrocer.datasets.layouts.read import read_collection
from greengrocer.errors import DatasetUnusable
from support.layouts import by_class, draw, groups, left_out

CLASSES = """Class Name (str),Class ID (int),Coarse Class Name (str),Coarse Class ID (int)
Kiwi,1,Fruit,0
Apple,0,Fruit,0
Leek,2,Vegetable,1
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The Grocery Store Dataset in small."""
    home = draw(tmp_path / "dataset", "train/1.jpg", "train/2.jpg", "val/3.jpg")
    (home / "classes.csv").write_text(CLASSES)
    (home / "train.txt").write_text("train/1.jpg, 0, 0\ntrain/2.jpg, 2, 1\n")
    (home / "val.txt").write_text("val/3.jpg, 1, 0\nval/gone.jpg, 1, 0\n")
    return tmp_path


def test_the_lists_of_the_grocery_store_dataset_are_read(root: Path) -> None:
    found = read_collection(root)
    assert found.layout == "grocery"
    assert by_class(found) == {
        "Apple": ["train:1.jpg"],
        "Kiwi": ["val:3.jpg"],
        "Leek": ["train:2.jpg"],
    }
    assert groups(found) == {"Apple": "Fruit", "Kiwi": "Fruit", "Leek": "Vegetable"}
    assert left_out(found) == {"gone.jpg": "missing"}


def test_its_groups_may_be_left_out(root: Path) -> None:
    assert read_collection(root, coarse="none").taxonomy.coarse is None


def test_a_list_without_its_images_is_refused(root: Path) -> None:
    with pytest.raises(DatasetUnusable, match="none of the 4 images"):
        read_collection(root, exclude=["*.jpg"])


@pytest.mark.parametrize("pattern", ["val", "dataset/val", "3.jpg"])
def test_what_is_excluded_does_not_count(root: Path, pattern: str) -> None:
    (root / "dataset" / "val.txt").write_text("val/3.jpg, 1, 0\n")
    found = read_collection(root, exclude=[pattern])
    assert by_class(found) == {"Apple": ["train:1.jpg"], "Leek": ["train:2.jpg"]}
    assert left_out(found) == {}


def test_the_data_set_itself(dataset: Path) -> None:
    found = read_collection(dataset)
    assert len(found.images) == 2640 + 296
    assert len(found.taxonomy.classes) == 81
    assert found.left_out == ()
