import shutil
from pathlib import Path

import pytest

from greengrocer.datasets import gallery as module
from greengrocer.datasets.gallery import built_in_gallery, open_gallery
from greengrocer.errors import DatasetUnusable
from greengrocer.imaging.formats import Format, read_header
from support.folders import write_folders
from support.make_images import encoded, jpeg, photo


def test_a_data_sets_validation_images_are_shown_under_their_true_names(tmp_path: Path) -> None:
    write_folders(tmp_path / "val", {"pear": [1, 2], "fig": [3]})
    write_folders(tmp_path / "train", {"plum": [4]})
    gallery = open_gallery(tmp_path)
    assert not gallery.built_in
    assert [shown.true_class for shown in gallery.pictures] == ["fig", "pear", "pear"]
    assert gallery.choose() in gallery.pictures


def test_only_jpegs_are_shown(tmp_path: Path) -> None:
    write_folders(tmp_path, {"pear": [1]})
    (tmp_path / "pear" / "x.png").write_bytes(encoded(photo(1), "PNG"))
    assert [shown.path.name for shown in open_gallery(tmp_path).pictures] == ["001.jpg"]


def test_images_of_any_layout_are_shown(tmp_path: Path) -> None:
    write_folders(tmp_path / "photos" / "Valid", {"fruit/pear": [1], "fruit/fig": [2]})
    write_folders(tmp_path / "photos" / "Train", {"fruit/plum": [3]})
    (tmp_path / "photos" / "Valid" / "fruit" / "fig" / "x.jfif").write_bytes(jpeg(4))
    shown = open_gallery(tmp_path).pictures
    assert [(each.true_class, each.path.name) for each in shown] == [
        ("fig", "002.jpg"),
        ("fig", "x.jfif"),
        ("pear", "001.jpg"),
    ]


def test_images_in_a_zip_are_shown_by_their_outermost_folders_or_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    names = {"fruit/pear": [1], "fruit/fig": [2], "root/beet": [3], "junk/x": [4]}
    write_folders(tmp_path / "photos", names)
    archive = Path(shutil.make_archive(str(tmp_path / "photos"), "zip", tmp_path / "photos"))
    gallery = open_gallery(archive, coarse="none", exclude=["junk"])
    assert [shown.true_class for shown in gallery.pictures] == ["fruit", "fruit", "root"]


def test_a_directory_without_jpegs_is_refused(tmp_path: Path) -> None:
    write_folders(tmp_path, {"pear": []})
    (tmp_path / "pear" / "x.png").write_bytes(encoded(photo(1), "PNG"))
    with pytest.raises(DatasetUnusable, match="lacks JPEG images"):
        open_gallery(tmp_path)


def test_a_listed_image_that_is_missing_is_named(tmp_path: Path) -> None:
    (tmp_path / "classes.csv").write_text("name,id,coarse,id\nKiwi,0,Fruit,0\n")
    (tmp_path / "val.txt").write_text("val/Kiwi_1.jpg, 0, 0\n")
    with pytest.raises(DatasetUnusable, match=r"lacks .*Kiwi_1\.jpg"):
        open_gallery(tmp_path)


def test_without_a_data_set_the_built_in_images_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "default_data_dir", lambda: tmp_path / "nowhere")
    assert open_gallery(None) == built_in_gallery()
    assert open_gallery(None).built_in


def test_a_downloaded_data_set_replaces_the_built_in_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folders(tmp_path, {"pear": [1]})
    monkeypatch.setattr(module, "default_data_dir", lambda: tmp_path)
    assert open_gallery(None).pictures[0].true_class == "pear"


def test_the_built_in_images_are_valid_jpegs() -> None:
    pictures = built_in_gallery().pictures
    if not pictures:
        pytest.skip("the built-in images are not there: src/greengrocer/gallery/*.jpg")
    for shown in pictures:
        assert read_header(shown.path.read_bytes()).format is Format.JPEG
