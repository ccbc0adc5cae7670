import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from greengrocer.datachecks.as_json import report_json
from greengrocer.datachecks.check import Report, check
from greengrocer.datachecks.problems import Severity
from greengrocer.datasets.gallery import built_in_gallery
from greengrocer.errors import DatasetUnusable
from greengrocer.quick.train import train_quick
from support.layouts import by_class, draw
from support.make_images import encoded


def severities(report: Report) -> dict[str, str]:
    return {problem.code: problem.severity.value for problem in report.problems}


def test_a_clean_folder_can_be_trained_on(tmp_path: Path) -> None:
    data = draw(tmp_path, "a/1.jpg", "a/2.jpg", "b/3.jpg", "b/4.jpg")
    report = check(data, contents=False)
    assert report.trainable
    assert report.problems == ()
    assert report.duplicates is None
    assert report.groups is None
    assert report.hold_out is None
    assert [each.digest for each in report.images] == [each.digest for each in report.opened]
    assert [(each.name, each.images) for each in report.classes()] == [("a", 2), ("b", 2)]


def test_unreadable_files_are_left_out_and_their_classes_with_them(tmp_path: Path) -> None:
    draw(tmp_path, "a/1.jpg", "a/2.jpg", "b/3.jpg", "c/4.jpg", "c/5.jpg")
    for name in ("a/2.jpg", "b/3.jpg"):
        (tmp_path / name).write_bytes(b"text")
    report = check(tmp_path)
    assert by_class(report.collection) == {"a": ["1.jpg"], "c": ["4.jpg", "5.jpg"]}
    assert [image.label for image in report.images] == [0, 1, 1]
    found = {problem.code: problem for problem in report.problems}
    assert found["unreadable"].text == "2 images cannot be read: left out"
    assert [item.partition(":")[0] for item in found["unreadable"].items] == ["a/2.jpg", "b/3.jpg"]
    assert found["unreadable-class"].items == ("b",)
    assert found["one-image"].items == ("a",)
    assert report.trainable


@pytest.mark.parametrize("contents", [True, False])
def test_a_file_in_two_classes_is_told_as_quick_training_refuses_it(
    tmp_path: Path, *, contents: bool
) -> None:
    draw(tmp_path, "a/1.jpg", "a/2.jpg", "b/3.jpg", "b/4.jpg")
    assert check(tmp_path, contents=contents).trainable_quickly
    shutil.copy(tmp_path / "a" / "1.jpg", tmp_path / "b" / "5.jpg")
    report = check(tmp_path, contents=contents)
    assert report.trainable
    assert not report.trainable_quickly
    assert severities(report)["same-file"] == "warning"
    with pytest.raises(DatasetUnusable, match="in two classes, byte for byte"):
        train_quick(tmp_path, tmp_path.with_name("bundle"))


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (["a/1.jpg", "a/2.jpg"], "too-few-classes"),
        (["a/1.jpg", "b/2.jpg"], "nothing-to-hold-out"),
        (["train/a/1.jpg", "train/b/2.jpg", "val/c/3.jpg"], "not-in-train"),
        (["test/a/1.jpg", "test/b/2.jpg"], "too-few-classes"),
        (["train/a/1.jpg", "train/b/2.jpg", "test/a/3.jpg"], "nothing-to-hold-out"),
    ],
)
def test_what_cannot_be_trained_on_is_an_error(tmp_path: Path, names: list[str], code: str) -> None:
    report = check(draw(tmp_path, *names))
    assert severities(report)[code] == "error"
    assert report.problems[0].todo or ":" in report.problems[0].text
    assert not report.trainable


def test_one_image_a_class_can_be_trained_on_where_there_is_a_val(tmp_path: Path) -> None:
    assert check(draw(tmp_path, "train/a/1.jpg", "train/b/2.jpg", "val/a/3.jpg")).trainable


def test_formats_are_counted_by_kind(tmp_path: Path) -> None:
    names = ("a/1.jpg", "a/2.jpg", "b/3.jpg", "a/x.psd", "b/y.PSD", "b/z.mp4")
    found = {problem.code: problem for problem in check(draw(tmp_path, *names)).problems}
    assert found["formats"].text == "files in formats that are not read: 1 MP4, 2 PSD"
    assert set(found["formats"].items) == {"a/x.psd", "b/y.PSD", "b/z.mp4"}


def test_the_json_has_the_names_that_the_guide_lists(tmp_path: Path) -> None:
    names = ("train/f/a/1.jpg", "train/f/b/2.jpg", "val/f/a/3.jpg", "val/loose.jpg")
    draw(tmp_path, *names, "train/f/b/4.jpg")
    (tmp_path / "train" / "f" / "b" / "4.jpg").write_bytes(b"text")
    found = report_json(check(tmp_path))
    assert found["layout"] == "folders"
    assert found["splits"] == {"train": 2, "val": 1}
    assert found["classes"][0] == {
        "name": "a",
        "coarse": "f",
        "images": 2,
        "by_split": {"train": 1, "val": 1},
    }
    assert [each["path"] for each in found["unreadable"]] == ["train/f/b/4.jpg"]
    assert [(e["path"], e["kind"]) for e in found["left_out"]] == [("val/loose.jpg", "loose")]
    guide = Path(__file__).parents[2] / "docs" / "guides" / "photos.md"
    text = guide.read_text(encoding="utf-8")
    assert not [name for name in found if f"`{name}`" not in text]
    assert not [name for name in found["problems"][0] if f"`{name}`" not in text]


def test_what_images_show_is_told(tmp_path: Path) -> None:
    """The gallery in two classes; one photo is in both, and one again under another name."""
    shown = [each.path for each in built_in_gallery().pictures]
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    for index, path in enumerate(shown):
        shutil.copyfile(path, tmp_path / "ab"[index % 2] / path.name)
    shutil.copyfile(shown[0], tmp_path / "a" / "again.jpg")
    shutil.copyfile(shown[0], tmp_path / "b" / "other.jpg")
    report = check(tmp_path)
    found = {problem.code: problem for problem in report.problems}
    assert "contradiction" in found
    assert any("other.jpg" in item for item in found["contradiction"].items)
    assert "held-out" in found
    assert report.groups is not None
    assert report.hold_out is not None
    assert len(report.groups.of) == len(report.hold_out.held_out) == len(report.images)
    told = report_json(report)
    again = {"a/again.jpg", f"a/{shown[0].name}", "b/other.jpg"}
    assert [set(each["paths"]) for each in told["groups"] if again & set(each["paths"])] == [again]
    assert again <= set(told["hold_out"]) or not again & set(told["hold_out"])


def test_where_there_is_a_val_it_is_what_is_held_out(tmp_path: Path) -> None:
    names = ("train/a/1.jpg", "train/b/2.jpg", "val/a/3.jpg", "test/b/4.jpg")
    assert report_json(check(draw(tmp_path, *names)))["hold_out"] == ["val/a/3.jpg"]


def test_the_split_test_is_never_held_out(tmp_path: Path) -> None:
    shown = [each.path for each in built_in_gallery().pictures]
    for index, path in enumerate(shown[:24]):
        folder = tmp_path / ("test" if index % 3 == 0 else "train") / "ab"[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / path.name)
    held = report_json(check(tmp_path))["hold_out"]
    assert held
    assert all(path.startswith("train/") for path in held)


def test_nothing_of_the_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetUnusable, match="there is no data set at"):
        check(tmp_path / "nowhere")


def test_whole_places_are_held_out_where_there_are_enough(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    for place in ("north", "south", "east", "west"):
        for name in ("fig", "kale"):
            for number in range(3):
                path = tmp_path / place / name / f"{place[0]}{number * 7}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                noise = random.integers(0, 256, (8, 8, 3), np.uint8)
                image = Image.fromarray(noise).resize((96, 96), Image.Resampling.BICUBIC)
                path.write_bytes(encoded(image, "JPEG"))
    report = check(tmp_path)
    assert report.hold_out is not None
    held = {
        image.place
        for image, out in zip(report.collection.images, report.hold_out.held_out, strict=True)
        if out
    }
    assert report.hold_out.places == tuple(sorted(map(str, held)))
    assert sum(report.hold_out.held_out) == 6 * len(held)
    (told,) = (problem for problem in report.problems if problem.code == "held-out")
    assert told.text.endswith(f"all photos of {len(held)} of the 4 places")
    for path in sorted(tmp_path.rglob("*.jpg")):
        day = {"north": "day1", "south": "day2", "east": "day3", "west": "day4"}
        (place, name) = path.relative_to(tmp_path).parts[:2]
        inverted = tmp_path / "inverted" / name / day[place] / path.name
        inverted.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, inverted)
    assert _by_digest(check(tmp_path / "inverted")) == _by_digest(report)
    shutil.rmtree(tmp_path / "inverted")
    for gone in ("north", "south"):
        shutil.rmtree(tmp_path / gone)
    report = check(tmp_path)
    (told,) = (problem for problem in report.problems if problem.code == "held-out")
    assert "no place as a whole" in told.text


def _by_digest(report: Report) -> tuple[set[frozenset[str | None]], set[str | None]]:
    """The groups and what is held out, whatever the paths."""
    assert report.groups is not None
    assert report.hold_out is not None
    digests = [image.digest for image in report.images]
    groups = {frozenset(digests[at] for at in members) for members in report.groups.members()}
    held = zip(digests, report.hold_out.held_out, strict=True)
    return groups, {digest for digest, out in held if out}


def test_nothing_held_out_is_a_warning(tmp_path: Path) -> None:
    for index, path in enumerate(built_in_gallery().pictures[:2]):
        (tmp_path / "ab"[index]).mkdir()
        shutil.copyfile(path.path, tmp_path / "ab"[index] / "only.jpg")
    report = check(tmp_path)
    (told,) = (problem for problem in report.problems if problem.code == "held-out")
    assert told.severity is Severity.WARNING
    assert told.todo
    assert report_json(report)["hold_out"] == []
