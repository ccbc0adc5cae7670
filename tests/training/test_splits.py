from pathlib import Path

import pytest

from greengrocer.errors import DatasetUnusable
from greengrocer.training.data.splits import read_splits
from greengrocer.training.recipe import Data, Recipe
from support.folders import write_folders

TEN = list(range(0, 200, 20))
RECIPE = Recipe(name="grey", backbone="efficientnet-lite0", pretrained=False, seed=1)
BOTH = RECIPE.model_copy(update={"data": Data(splits=("train", "val"))})


def seeded(seed: int) -> Recipe:
    return RECIPE.model_copy(update={"seed": seed})


def test_without_a_val_split_a_fifth_of_each_class_is_held_out(tmp_path: Path) -> None:
    splits = read_splits(write_folders(tmp_path, {"apple": TEN, "pear": TEN[:5]}), RECIPE)
    assert [p.label for p in splits.held_out] == [0, 0, 1]
    assert len(splits.training) == 12
    assert not set(splits.training) & set(splits.held_out)
    assert splits.origin == "a fifth of each class of train, drawn with the seed 1"


def test_the_held_out_images_depend_only_on_the_seed(tmp_path: Path) -> None:
    data = write_folders(tmp_path, {"apple": TEN, "pear": TEN})
    assert read_splits(data, RECIPE) == read_splits(data, RECIPE)
    assert len({read_splits(data, seeded(seed)).held_out for seed in range(5)}) > 1


def test_a_class_of_one_image_is_trained(tmp_path: Path) -> None:
    splits = read_splits(write_folders(tmp_path, {"apple": TEN, "pear": [7]}), RECIPE)
    assert {p.label for p in splits.training} == {0, 1}


def test_a_val_folder_is_held_out_with_the_labels_of_train(tmp_path: Path) -> None:
    write_folders(tmp_path / "train", {"apple": TEN, "pear": TEN})
    write_folders(tmp_path / "val", {"pear": [3, 5]})
    splits = read_splits(tmp_path, RECIPE)
    assert splits.origin == "the split val"
    assert [p.label for p in splits.held_out] == [1, 1]
    assert len(splits.training) == 20


def test_splits_train_under_any_usual_name(tmp_path: Path) -> None:
    write_folders(tmp_path / "export" / "Training", {"apple": TEN, "pear": TEN})
    write_folders(tmp_path / "export" / "valid", {"pear": [3, 5]})
    splits = read_splits(tmp_path, RECIPE)
    assert (splits.origin, len(splits.training)) == ("the split val", 20)
    assert [p.label for p in splits.held_out] == [1, 1]


def test_scenes_of_both_splits_are_held_out_if_the_recipe_uses_both(tmp_path: Path) -> None:
    write_folders(tmp_path / "train", {"apple": TEN, "pear": TEN})
    write_folders(tmp_path / "val", {"pear": [3, 5]})
    splits = read_splits(tmp_path, BOTH)
    assert len(splits.training) + len(splits.held_out) == 22
    assert not set(splits.training) & set(splits.held_out)
    assert {p.label for p in splits.held_out} == {0, 1}
    assert splits.origin == "a quarter of the scenes of train + val, drawn with the seed 1"


def test_a_missing_val_split_cannot_be_trained_on(tmp_path: Path) -> None:
    data = write_folders(tmp_path, {"apple": TEN, "pear": TEN})
    with pytest.raises(DatasetUnusable, match="no split 'val', which the recipe asks for"):
        read_splits(data, BOTH)


def test_a_class_that_only_val_has_is_refused(tmp_path: Path) -> None:
    write_folders(tmp_path / "train", {"apple": TEN, "pear": TEN})
    write_folders(tmp_path / "val", {"quince": [3]})
    with pytest.raises(DatasetUnusable, match="'quince' is in val but not in train"):
        read_splits(tmp_path, RECIPE)


@pytest.mark.parametrize(
    ("levels", "why"),
    [({"apple": TEN}, "at least two"), ({"apple": [1], "pear": [2]}, "no class has two")],
)
def test_too_little_to_train_on_is_refused(
    tmp_path: Path, levels: dict[str, list[int]], why: str
) -> None:
    with pytest.raises(DatasetUnusable, match=why):
        read_splits(write_folders(tmp_path, levels), RECIPE)


def test_the_published_splits_of_the_grocery_store_dataset(dataset: Path) -> None:
    splits = read_splits(dataset, RECIPE)
    assert (len(splits.training), len(splits.held_out)) == (2640, 296)
    assert splits.origin == "the split val"
