"""Labelled photos of any layout, matched with the model's classes by name."""

import shutil
from pathlib import Path

import pytest

from greengrocer.errors import UsageError
from greengrocer.importing.photos import Photos, read_photos
from support.exports import CLASSES, write_tinted


class Told(list[str]):
    """What was told."""

    def __call__(self, line: str) -> None:
        self.append(line)


def read(source: Path, classes: tuple[str, ...] = CLASSES, **how: object) -> tuple[Photos, Told]:
    told = Told()
    return read_photos(source, classes, told, **how), told  # type: ignore[arg-type]


def names(photos: Photos) -> list[set[str]]:
    return [{each.path.name for each in side} for side in (photos.fitting, photos.judging)]


def test_without_splits_every_second_photo_judges(photos: Path) -> None:
    found, told = read(photos)
    assert (len(found.fitting), len(found.judging)) == (30, 30)
    assert not told
    for side in (found.fitting, found.judging):
        assert all(each.path.parent.name == CLASSES[each.label] for each in side)


@pytest.mark.parametrize("judging", ["val", "valid", "test"])
def test_splits_are_kept(photos: Path, tmp_path: Path, judging: str) -> None:
    shutil.copytree(photos, tmp_path / "p" / "train")
    write_tinted(tmp_path / "p" / judging, 8)
    for path in (tmp_path / "p" / judging).rglob("*.jpg"):
        path.rename(path.with_stem(f"judge-{path.stem}"))
    fit, judge = names(read(tmp_path / "p")[0])
    assert len(fit) == 60
    assert len(judge) == 24
    assert all(name.startswith("judge-") for name in judge)


def test_a_list_and_a_zip_are_read(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    archive = shutil.make_archive(str(tmp_path / "photos"), "zip", photos)
    rows = [f"{path},{path.parent.name}" for path in sorted(photos.rglob("*.jpg"))]
    (tmp_path / "list.csv").write_text("\n".join(["path,label", *rows]))
    expected = names(read(photos)[0])
    assert names(read(Path(archive))[0]) == expected
    assert names(read(tmp_path / "list.csv")[0]) == expected


def test_names_are_matched_whatever_case_and_blanks_and_the_rest_is_told(
    photos: Path, tmp_path: Path
) -> None:
    shutil.copytree(photos, tmp_path / "p")
    (tmp_path / "p" / "blue").rename(tmp_path / "p" / "Sky_Blue")
    (tmp_path / "p" / "green").rename(tmp_path / "p" / "grean")
    broken = tmp_path / "p" / "red" / "broken.jpg"
    broken.write_bytes(broken.with_name("red-0.jpg").read_bytes()[:900])
    found, told = read(tmp_path / "p", ("sky blue", "green", "red"))
    assert {each.label for each in found.fitting} == {0, 2}
    assert len(found.fitting) + len(found.judging) == 40
    assert told[0] == "classes matched whatever case and blanks: 'Sky_Blue' is 'sky blue'"
    assert told[1].startswith("photos of 'grean', which is no class of the model, are left out")
    assert told[1].endswith("did you mean green?")
    assert told[2] == "1 of the model's 3 classes have no photos: 'green'"
    assert told[3].startswith(f"left out {broken}: ")


def test_a_name_that_two_classes_are_alike_to_is_matched_only_exactly(photos: Path) -> None:
    found, told = read(photos, ("Red", "red", "Green", "GREEN", "blue"))
    assert {each.label for each in found.fitting} == {1, 4}
    assert "'green', which is no class" in told[0]


def test_photos_of_no_class_of_the_model_are_refused(photos: Path) -> None:
    with pytest.raises(UsageError, match=r"are no classes of the model.*: name the folders as"):
        read(photos, ("apple", "leek"))


def test_what_is_excluded_does_not_count(photos: Path) -> None:
    found, _ = read(photos, exclude=["blue*"])
    assert {each.label for each in found.fitting} == {1, 2}
