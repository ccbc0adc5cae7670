"""Photos by place and class: which of the two the outermost folders are."""

from pathlib import Path

import pytest

from greengrocer.datasets.layouts.read import read_collection
from greengrocer.errors import DatasetUnusable
from support.layouts import by_class, codes, draw, groups, left_out

SHOPS = ("shop1/lime/1.jpg", "shop2/lime/2.jpg", "shop2/lemon/3.jpg")


def places(data: Path, **options: str) -> dict[str, str | None]:
    return {i.path.name: i.place for i in read_collection(data, **options).images}


def test_outermost_folders_with_the_same_folders_in_them_are_places(tmp_path: Path) -> None:
    found = read_collection(draw(tmp_path, *SHOPS))
    assert by_class(found) == {"lemon": ["3.jpg"], "lime": ["1.jpg", "2.jpg"]}
    assert found.taxonomy.coarse is None
    assert places(tmp_path) == {"1.jpg": "shop1", "2.jpg": "shop2", "3.jpg": "shop2"}
    (note,) = (note for note in found.notes if note.code == "places")
    assert note.names == ("shop1", "shop2")
    assert "--coarse none: the outermost are the classes" in note.text


@pytest.mark.parametrize("wrapper", ["", "photos/"])
@pytest.mark.parametrize("first", ["north", "Anna's", "shop1"])
def test_no_name_makes_a_place(tmp_path: Path, wrapper: str, first: str) -> None:
    names = (f"{first}/lime/1.jpg", "south/lime/2.jpg", "south/fig/3.jpg", f"{first}/fig/4.jpg")
    found = read_collection(draw(tmp_path, *(wrapper + name for name in names)))
    assert set(by_class(found)) == {"lime", "fig"}
    assert "places" in codes(found)


def test_different_names_below_are_a_hierarchy(tmp_path: Path) -> None:
    data = draw(tmp_path, "fruit/apple/1.jpg", "fruit/fig/2.jpg", "roots/beet/3.jpg", "egg/4.jpg")
    found = read_collection(data)
    assert groups(found) == {"apple": "fruit", "beet": "roots", "egg": "egg", "fig": "fruit"}
    assert set(places(data).values()) == {None}


def test_one_name_of_many_that_recurs_makes_no_place(tmp_path: Path) -> None:
    names = [f"fruit/{name}/1.jpg" for name in ("apple", "fig", "other")]
    draw(tmp_path, *names, *(f"roots/{name}/1.jpg" for name in ("beet", "leek", "other")))
    with pytest.raises(DatasetUnusable, match=r"'other' is in 'fruit' and in 'roots'.*places"):
        read_collection(tmp_path)


@pytest.mark.parametrize(
    "days", [("monday", "friday"), ("2026-05-04", "5.5.2026"), ("shop A", "1")]
)
def test_folders_named_as_places_or_days_are_no_classes(
    tmp_path: Path, days: tuple[str, str]
) -> None:
    names = [f"{name}/{day}/1.jpg" for name in ("apple", "pear") for day in days]
    found = read_collection(draw(tmp_path, *names))
    assert set(by_class(found)) == {"apple", "pear"}
    assert "days" in codes(found)
    assert set(by_class(read_collection(tmp_path, coarse="places"))) == set(days)


def test_places_named_as_places_may_have_classes_that_are_numbers(tmp_path: Path) -> None:
    names = [f"camera {place}/{digit}/1.jpg" for place in "ab" for digit in (0, 1)]
    assert set(by_class(read_collection(draw(tmp_path, *names)))) == {"0", "1"}


def test_what_is_understood_can_be_had_otherwise(tmp_path: Path) -> None:
    draw(tmp_path, *SHOPS)
    assert set(by_class(read_collection(tmp_path, coarse="none"))) == {"shop1", "shop2"}
    with pytest.raises(DatasetUnusable, match="'lime' is in 'shop1' and in 'shop2'"):
        read_collection(tmp_path, coarse="folders")
    table = tmp_path.with_name("groups.csv")
    table.write_text("class,coarse\nlime,green\nlemon,yellow\n")
    assert groups(read_collection(tmp_path, coarse=table)) == {"lemon": "yellow", "lime": "green"}


def test_a_hierarchy_within_each_place(tmp_path: Path) -> None:
    names = [f"{place}/fruit/{name}/1.jpg" for place in ("n", "s") for name in ("apple", "fig")]
    found = read_collection(draw(tmp_path, *names, "n/roots/beet/2.jpg", "s/roots/beet/3.jpg"))
    assert groups(found) == {"apple": "fruit", "beet": "roots", "fig": "fruit"}
    assert {image.place for image in found.images} == {"n", "s"}


def test_places_within_splits_and_splits_within_places(tmp_path: Path) -> None:
    names = ("train/shop1/a/1.jpg", "train/shop1/b/2.jpg", "train/shop2/a/3.jpg")
    outside = draw(tmp_path / "outside", *names, "val/shop3/a/4.jpg", "val/shop3/b/5.jpg")
    assert by_class(read_collection(outside)) == {
        "a": ["train:1.jpg", "train:3.jpg", "val:4.jpg"],
        "b": ["train:2.jpg", "val:5.jpg"],
    }
    splits = tuple(f"{p}/{s}/{c}/{s}.jpg" for p in "np" for s in ("train", "val") for c in "ab")
    found = read_collection(draw(tmp_path / "inside", *splits))
    assert {name: len(files) for name, files in by_class(found).items()} == {"a": 4, "b": 4}
    assert {(i.split, i.place) for i in found.images} == {
        (split, place) for split in ("train", "val") for place in "np"
    }


def test_a_hierarchy_in_splits_has_no_places(tmp_path: Path) -> None:
    names = [f"{s}/fruit/{c}/1.jpg" for s in ("train", "val") for c in ("apple", "fig")]
    found = read_collection(draw(tmp_path, *names, "train/roots/beet/1.jpg"))
    assert groups(found) == {"apple": "fruit", "beet": "roots", "fig": "fruit"}


def test_what_lies_beside_the_places(tmp_path: Path) -> None:
    names = ("lime/5.jpg", "shop2/7.jpg", "8.jpg")
    found = read_collection(draw(tmp_path, *SHOPS, "shop3/lime/4.jpg", *names))
    assert by_class(found)["lime"] == ["5.jpg", "1.jpg", "2.jpg", "4.jpg"]
    assert left_out(found) == {"7.jpg": "loose", "8.jpg": "loose"}
    draw(tmp_path, "shop4/9.jpg")
    assert left_out(read_collection(tmp_path))["9.jpg"] == "unlabelled"
