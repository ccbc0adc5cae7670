from pathlib import Path

import pytest

from greengrocer.datasets.dataset import Taxonomy, read_split
from greengrocer.errors import DatasetUnusable
from support.folders import write_folders

CLASSES = """Class Name (str),Class ID (int),Coarse Class Name (str),Coarse Class ID (int)
Kiwi,1,Fruit,0
Apple,0,Fruit,0
Leek,2,Vegetable,1
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The Grocery Store Dataset in small, as its repository lays it out."""
    dataset = tmp_path / "dataset"
    dataset.mkdir()
    (dataset / "classes.csv").write_text(CLASSES)
    (dataset / "val.txt").write_text("val/Fruit/Kiwi/Kiwi_001.jpg, 1, 0\nval/Leek_1.jpg, 2, 1\n")
    return tmp_path


def refusal(directory: Path, split: str = "val") -> str:
    with pytest.raises(DatasetUnusable) as refused:
        read_split(directory, split)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("below", [".", "dataset"])
def test_the_data_set_is_read_from_its_root_or_its_dataset_folder(root: Path, below: str) -> None:
    found = read_split(root / below, "val")
    assert found.taxonomy == Taxonomy(("Apple", "Kiwi", "Leek"), ("Fruit", "Vegetable"), (0, 0, 1))
    assert [(p.path.relative_to(root).as_posix(), p.label) for p in found.pictures] == [
        ("dataset/val/Fruit/Kiwi/Kiwi_001.jpg", 1),
        ("dataset/val/Leek_1.jpg", 2),
    ]


def test_a_missing_split_is_refused(root: Path) -> None:
    assert "no split 'test': there is no test.txt" in refusal(root, "test")


@pytest.mark.parametrize(
    "line",
    ["val/a.jpg", "val/a.jpg, kiwi, 0", "", "val/a.jpg, 3, 0", "val/a.jpg, -1, 0", "\xff, 1"],
)
def test_an_invalid_line_is_refused_with_its_number(root: Path, line: str) -> None:
    text = f"val/Leek_1.jpg, 2, 1\n{line}\n"
    (root / "dataset" / "val.txt").write_bytes(text.encode("latin-1"))
    found = refusal(root)
    assert "val.txt, line " in found
    assert "\xff" in line or "line 2" in found


@pytest.mark.parametrize(
    "row",
    ["Leek", "Leek,two,Vegetable,1", "Leek,3,Vegetable,1", "Leek,2,Vegetable,7", "Kiwi,1,F,0"],
)
def test_an_invalid_list_of_classes_is_refused(root: Path, row: str) -> None:
    text = "".join(CLASSES.splitlines(keepends=True)[:3]) + row + "\n"
    (root / "dataset" / "classes.csv").write_text(text)
    assert "classes.csv" in refusal(root)


def test_a_folder_per_class_is_labelled_by_the_folder_names(tmp_path: Path) -> None:
    data = write_folders(tmp_path, {"pear": [1, 2], "fig": [3], "empty": []})
    (data / "pear" / "notes.txt").write_text("no image")
    (data / "stray.jpg").write_bytes(b"beside the folders")
    found = read_split(data, "val")
    assert found.taxonomy == Taxonomy(("fig", "pear"))  # an empty folder is no class
    assert [(p.path.name, p.label) for p in found.pictures] == [
        ("003.jpg", 0),
        ("001.jpg", 1),
        ("002.jpg", 1),
    ]


def test_every_supported_suffix_is_read_in_any_case(tmp_path: Path) -> None:
    data = write_folders(tmp_path, {"pear": []})
    for name in ("a.JPG", "b.jpeg", "c.Png", "d.webp", "e.gif"):
        (data / "pear" / name).write_bytes(b"x")
    assert [p.path.name for p in read_split(data, "val").pictures] == [
        "a.JPG",
        "b.jpeg",
        "c.Png",
        "d.webp",
    ]


def test_a_folder_per_split_may_hold_a_folder_per_class(tmp_path: Path) -> None:
    write_folders(tmp_path / "val", {"pear": [1]})
    write_folders(tmp_path / "train", {"pear": [2], "fig": [3]})
    assert read_split(tmp_path, "val").taxonomy.classes == ("pear",)
    assert len(read_split(tmp_path, "train").pictures) == 2
    assert "no split 'test'" in refusal(tmp_path, "test")


def test_a_directory_without_images_is_refused(tmp_path: Path) -> None:
    assert "holds no images" in refusal(tmp_path)
    assert "no data set at" in refusal(tmp_path / "nowhere")
