from pathlib import Path

import pytest

from greengrocer.datasets.layouts.read import read_collection
from greengrocer.errors import DatasetUnusable
from support.layouts import by_class, codes, draw, groups, left_out


def refusal(root: Path, **options: object) -> str:
    with pytest.raises(DatasetUnusable) as refused:
        read_collection(root, **options)  # type: ignore[arg-type]
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_folder_a_class(tmp_path: Path) -> None:
    found = read_collection(draw(tmp_path, "pear/1.jpg", "pear/2.jpg", "fig/1.jpg", "fig/2.jpg"))
    assert found.layout == "folders"
    assert by_class(found) == {"fig": ["1.jpg", "2.jpg"], "pear": ["1.jpg", "2.jpg"]}
    assert found.taxonomy.coarse is None
    assert not found.has_splits
    assert found.notes == ()
    assert found.left_out == ()


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [("train", "val", "test"), ("Training", "VALID", "Testing"), ("TRAIN", "validation", "Test")],
)
@pytest.mark.parametrize("wrapper", ["", "export/", "export/images/"])
def test_splits_in_the_usual_names(
    tmp_path: Path, train: str, val: str, test: str, wrapper: str
) -> None:
    names = [f"{split}/{name}/{split}.jpg" for split in (train, val, test) for name in ("a", "b")]
    found = read_collection(draw(tmp_path, *(wrapper + name for name in names)))
    files = [f"train:{train}.jpg", f"val:{val}.jpg", f"test:{test}.jpg"]
    assert by_class(found) == {"a": files, "b": files}
    assert ("wrapper" in codes(found)) == bool(wrapper)


@pytest.mark.parametrize("name", ["train", "Test", "valid"])
def test_a_class_may_be_called_as_a_split_is(tmp_path: Path, name: str) -> None:
    found = read_collection(draw(tmp_path, f"{name}/1.jpg", "bus/1.jpg", "tram/1.jpg"))
    assert set(by_class(found)) == {name, "bus", "tram"}
    assert not found.has_splits
    assert "split-as-class" in codes(found)


def test_a_class_called_train_within_splits(tmp_path: Path) -> None:
    names = [f"{s}/{c}/1.jpg" for s in ("train", "val") for c in ("train", "bus")]
    found = read_collection(draw(tmp_path, *names))
    assert by_class(found) == {
        "bus": ["train:1.jpg", "val:1.jpg"],
        "train": ["train:1.jpg", "val:1.jpg"],
    }


def test_splits_within_each_class(tmp_path: Path) -> None:
    names = [f"{c}/{s}/{s}.jpg" for s in ("train", "valid") for c in ("bus", "tram")]
    found = read_collection(draw(tmp_path, *names))
    files = ["train:train.jpg", "val:valid.jpg"]
    assert by_class(found) == {"bus": files, "tram": files}


def test_what_has_no_split_beside_splits_counts_to_train(tmp_path: Path) -> None:
    splits = [f"apple/{s}/{s}.jpg" for s in ("train", "val")]
    found = read_collection(draw(tmp_path, *splits, "apple/extra.jpg", "lime/1.jpg"))
    assert by_class(found) == {
        "apple": ["train:extra.jpg", "train:train.jpg", "val:val.jpg"],
        "lime": ["train:1.jpg"],
    }
    assert "no-split" in codes(found)


def test_a_wrapper_may_hold_loose_images(tmp_path: Path) -> None:
    names = [f"wrap/{s}/{c}/{s}.jpg" for s in ("train", "valid") for c in ("a", "b")]
    found = read_collection(draw(tmp_path, *names, "wrap/loose.jpg", "photo.txt"))
    files = ["train:train.jpg", "val:valid.jpg"]
    assert by_class(found) == {"a": files, "b": files}
    assert left_out(found) == {"loose.jpg": "loose"}


def test_splits_within_each_group(tmp_path: Path) -> None:
    names = [f"{g}/{s}/{c}/{s}.jpg" for g, c in ("xa", "xb", "yc") for s in ("train", "val")]
    found = read_collection(draw(tmp_path, *names))
    files = ["train:train.jpg", "val:val.jpg"]
    assert by_class(found) == {"a": files, "b": files, "c": files}
    assert groups(found) == {"a": "x", "b": "x", "c": "y"}


def test_a_split_without_folders_of_classes_has_no_labels(tmp_path: Path) -> None:
    found = read_collection(draw(tmp_path, "train/a/1.jpg", "train/b/2.jpg", "test/3.jpg"))
    assert by_class(found) == {"a": ["train:1.jpg"], "b": ["train:2.jpg"]}
    assert left_out(found) == {"3.jpg": "unlabelled"}


def test_nested_folders_are_a_hierarchy(tmp_path: Path) -> None:
    data = draw(tmp_path, "fruit/apple/1.jpg", "fruit/pear/2.jpg", "roots/red/beet/3.jpg", "egg/4")
    found = read_collection(data)
    assert groups(found) == {"apple": "fruit", "beet": "roots", "egg": "egg", "pear": "fruit"}
    assert "hierarchy" in codes(found)


def test_without_groups_the_outermost_folders_are_the_classes(tmp_path: Path) -> None:
    data = draw(tmp_path, "apple/red/1.jpg", "apple/green/2.jpg", "pear/yellow/3.jpg")
    found = read_collection(data, coarse="none")
    assert by_class(found) == {"apple": ["2.jpg", "1.jpg"], "pear": ["3.jpg"]}
    assert found.taxonomy.coarse is None


def test_folders_in_a_class_of_images_belong_to_it(tmp_path: Path) -> None:
    data = draw(tmp_path, "apple/1.jpg", "apple/2.jpg", "apple/shop/3.jpg", "pear/4.jpg")
    assert by_class(read_collection(data)) == {
        "apple": ["1.jpg", "2.jpg", "3.jpg"],
        "pear": ["4.jpg"],
    }


def test_groups_of_a_file(tmp_path: Path) -> None:
    data = draw(tmp_path / "photos", "apple/1.jpg", "leek/2.jpg")
    table = tmp_path / "groups.csv"
    table.write_text("Class;Superclass\nleek;vegetable\napple;fruit\nrice;staple\n")
    assert groups(read_collection(data, coarse=table)) == {"apple": "fruit", "leek": "vegetable"}
    table.write_text("class,coarse\napple,fruit\n")
    assert "no coarse class for 'leek'" in refusal(data, coarse=table)
    assert "nowhere.csv: No such file" in refusal(data, coarse="nowhere.csv")


def test_loose_images_beside_the_classes_are_pointed_out(tmp_path: Path) -> None:
    data = draw(tmp_path, "apple/1.jpg", "pear/2.jpg", "loose.jpg")
    assert left_out(read_collection(data)) == {"loose.jpg": "loose"}


def test_a_loose_image_in_a_group(tmp_path: Path) -> None:
    data = draw(tmp_path, "fruit/a/1.jpg", "fruit/b/2.jpg", "fruit/loose.jpg", "roots/c/3.jpg")
    found = read_collection(data)
    assert set(by_class(found)) == {"a", "b", "c"}
    assert left_out(found) == {"loose.jpg": "loose"}


@pytest.mark.parametrize(
    ("names", "why"),
    [
        ([], "holds no images: it needs a folder for each class"),
        (["1.jpg", "2.jpg"], "holds 2 images, but no folders: put the images of each class"),
        (["Train/1.jpg", "valid/2.jpg"], "hold images, but no folders of classes: put the images"),
        (["a/1.tif"], "no images in formats that are read, but 1 TIFF: convert them to JPEG"),
    ],
)
def test_what_has_no_classes_is_refused(tmp_path: Path, names: list[str], why: str) -> None:
    assert why in refusal(draw(tmp_path, *names))


def test_an_unsuitable_name_is_refused(tmp_path: Path) -> None:
    assert "U+202E" in refusal(draw(tmp_path, "a\u202eb/1.jpg", "c/1.jpg"))


def test_odd_classes_are_pointed_out(tmp_path: Path) -> None:
    names = [*("train/a/1.jpg", "train/a/2.jpg", "train/B c/1.jpg", "train/b c/1.jpg")]
    data = draw(tmp_path, *names, "val/a/1.jpg", "val/d/2.jpg")
    (data / "train" / "hollow").mkdir()
    notes = {note.code: note.names for note in read_collection(data).notes}
    assert notes["empty-class"] == ("hollow",)
    assert notes["similar-names"] == ("B c", "b c")
    assert notes["one-image"] == ("B c", "b c", "d")
    assert notes["not-in-train"] == ("d",)
    assert notes["not-in-val"] == ("B c", "b c")


def test_names_are_compared_in_one_unicode_form(tmp_path: Path) -> None:
    found = read_collection(draw(tmp_path, "cre\u0301me/1.jpg", "cr\u00e9me/2.jpg", "fig/3.jpg"))
    assert by_class(found) == {"cr\u00e9me": ["1.jpg", "2.jpg"], "fig": ["3.jpg"]}
    assert "unicode-names" in codes(found)
