"""From photos to a bundle that serves, and classes that come and go, as a person does it."""

import hashlib
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import greengrocer
from greengrocer.assemble_pipeline import build_pipeline
from greengrocer.bundles.bundle import load_bundle
from greengrocer.bundles.manifest import GRAPH, STATISTICS
from greengrocer.bundles.trained_on import read_trained_on
from greengrocer.bundles.unfinished import PREFIX
from greengrocer.errors import BundleRefused, DatasetUnusable, UsageError
from greengrocer.features.statistics_file import read_statistics
from greengrocer.quick.teaching import forget_class, forget_images, teach
from greengrocer.quick.train import read_labelled, train_quick
from quick.conftest import EACH, draw


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Features are computed once for all tests here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def whole(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of all four classes."""
    return train_quick(photos, tmp_path_factory.mktemp("bundles") / "whole").bundle


@pytest.fixture
def part(photos: Path, tmp_path: Path) -> Path:
    """A bundle of all classes but lime."""
    some = shutil.copytree(photos, tmp_path / "some")
    shutil.rmtree(some / "lime")
    return train_quick(some, tmp_path / "part").bundle


def of(photos: Path, name: str) -> list[Path]:
    return sorted((photos / name).iterdir())


def same(one: Path, other: Path) -> None:
    """The graphs and the statistics are the same to the byte, and so are the thresholds."""
    for name in (GRAPH, STATISTICS):
        assert (one / name).read_bytes() == (other / name).read_bytes()
    a, b = load_bundle(one).manifest, load_bundle(other).manifest
    assert a.classes == b.classes
    assert a.metrics == b.metrics
    assert (a.known_threshold, a.fine_threshold) == (b.known_threshold, b.fine_threshold)


def test_the_bundle_is_whole_and_right(whole: Path, photos: Path) -> None:
    bundle = load_bundle(whole)
    manifest = bundle.manifest
    assert manifest.classes == ("apple", "lime", "plum", "quince")
    assert manifest.metrics["out_of_fold_pictures"] == 4 * EACH
    assert len(manifest.goldens) == 4
    trained_on = read_trained_on(bundle)
    assert trained_on is not None
    pipeline = build_pipeline(bundle)  # the goldens are replayed
    pipeline.close()
    with greengrocer.load(str(whole)) as model:
        paths = [path for name in manifest.classes for path in of(photos, name)]
        answers = [model.predict(path, evidence=True) for path in paths]
        right = [a.top[0][0] == p.parent.name for a, p in zip(answers, paths, strict=True)]
        assert np.mean(right) > 0.9


def test_a_class_that_is_taught_is_as_one_that_was_there_from_the_start(
    whole: Path, part: Path, photos: Path
) -> None:
    changed = teach(part, "lime", of(photos, "lime"))
    assert (changed.images, changed.skipped) == (EACH, 0)
    same(part, whole)
    assert not list(part.parent.glob(f"{PREFIX}*"))
    assert not [each for each in part.parent.iterdir() if "part." in each.name]


def test_images_may_be_taught_one_after_another(whole: Path, part: Path, photos: Path) -> None:
    limes = of(photos, "lime")
    teach(part, "lime", limes[5:])
    changed = teach(part, "lime", limes)
    assert (changed.images, changed.skipped) == (5, 3)
    same(part, whole)
    with pytest.raises(UsageError, match="has all of these images already"):
        teach(part, "lime", limes[:2])


def test_a_class_may_have_one_image_and_one_that_is_forgotten_may_be_taught_again(
    whole: Path, photos: Path, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle"
    forget_class(whole, "lime", out=bundle)
    changed = teach(bundle, "lime", of(photos, "lime")[:1])
    assert (changed.images, changed.manifest.classes[1]) == (1, "lime")
    forget_images(bundle, of(photos, "lime")[:1])
    teach(bundle, "lime", of(photos, "lime"))
    same(bundle, whole)


def test_what_cannot_be_read_and_what_comes_twice_is_left_out(
    whole: Path, part: Path, photos: Path, tmp_path: Path
) -> None:
    limes = of(photos, "lime")
    cut, text = tmp_path / "cut.jpg", tmp_path / "text.jpg"
    cut.write_bytes(limes[0].read_bytes()[:300])
    text.write_text("no image")
    changed = teach(part, "lime", [cut, *limes, text, limes[3]])
    assert [each.path for each in changed.unreadable] == [cut, text]
    assert (changed.images, changed.skipped) == (EACH, 1)
    same(part, whole)
    with pytest.raises(DatasetUnusable, match=r"no image can be read; the first is .*cut\.jpg"):
        teach(part, "new", [cut, text])


@pytest.mark.parametrize("name", ["Apple", "ap ple", "apple "])
def test_a_name_that_differs_by_case_or_blanks_is_refused(
    name: str, whole: Path, photos: Path
) -> None:
    with pytest.raises(UsageError, match="has a class 'apple', which differs from"):
        teach(whole, name, of(photos, "lime"))


def test_teaching_at_the_same_time_loses_nothing(whole: Path, part: Path, photos: Path) -> None:
    limes = of(photos, "lime")
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda some: teach(part, "lime", some), [limes[:3], limes[3:5], limes[5:]]))
    same(part, whole)


@pytest.mark.accept
def test_a_teaching_that_is_killed_leaves_a_whole_bundle(
    whole: Path, part: Path, photos: Path
) -> None:
    """With some of its files written, and with all of them, before the exchange."""
    before = load_bundle(part).manifest
    program = (
        "import os, sys; from pathlib import Path; import greengrocer.bundles.{module} as m; "
        "m.{name} = lambda *_, **__: os.kill(os.getpid(), 9); "
        "from greengrocer.quick.teaching import teach; "
        "teach(Path(sys.argv[1]), 'lime', [Path(each) for each in sys.argv[2:]])"
    )
    for module, name in (("save", "write_manifest"), ("save", "exchange")):
        command = [sys.executable, "-c", program.format(module=module, name=name), str(part)]
        done = subprocess.run([*command, *of(photos, "lime")], check=False, capture_output=True)
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert load_bundle(part).manifest == before
        build_pipeline(load_bundle(part)).close()
    assert list(part.parent.glob(f"{PREFIX}*"))
    teach(part, "lime", of(photos, "lime"))
    same(part, whole)
    assert not [each for each in part.parent.iterdir() if "part." in each.name]


def test_a_teaching_leaves_alone_what_lies_beside_the_bundle(
    whole: Path, part: Path, photos: Path
) -> None:
    beside = shutil.copytree(whole, part.with_name("part.new"))
    teach(part, "lime", of(photos, "lime"))
    same(part, whole)
    same(beside, whole)


def test_a_bundle_that_does_not_load_does_not_take_the_place_of_one_that_does(
    part: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise BundleRefused("goldens/1.jpg is answered lime, not plum")

    before = load_bundle(part).manifest
    monkeypatch.setattr("greengrocer.training.release.replay.replay_goldens", refuse)
    with pytest.raises(UsageError, match="does not reproduce its own answers"):
        teach(part, "lime", of(photos, "lime"))
    assert load_bundle(part).manifest == before


@pytest.mark.accept
def test_images_beyond_those_that_are_kept_are_known(
    whole: Path, part: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("greengrocer.features.statistics.MOST_KEPT", 10)
    limes, plums = of(photos, "lime"), of(photos, "plum")
    assert teach(part, "lime", limes).images == EACH
    statistics, _ = read_statistics(load_bundle(part), 1280)
    assert (len(statistics.labels), statistics.counts.sum()) == (10, 4 * EACH)
    with pytest.raises(UsageError, match="has all of these images already"):
        teach(part, "lime", limes)
    with pytest.raises(UsageError, match="keeps only sums of it"):
        forget_images(part, [*limes, *plums])
    listed = [read_trained_on(load_bundle(bundle)) for bundle in (part, whole)]
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (*limes, *plums)]
    assert all(each in found for each in digests for found in listed if found is not None)


@pytest.mark.accept
def test_a_class_that_is_forgotten_was_never_there(
    whole: Path, part: Path, photos: Path, tmp_path: Path
) -> None:
    first = forget_class(whole, "lime", out=tmp_path / "by-name").manifest
    second = forget_images(whole, of(photos, "lime"), out=tmp_path / "by-images").manifest
    assert first.classes == second.classes == ("apple", "plum", "quince")
    same(tmp_path / "by-name", part)
    same(tmp_path / "by-images", part)


def test_images_that_are_forgotten_were_never_there(
    whole: Path, photos: Path, tmp_path: Path
) -> None:
    fewer = shutil.copytree(photos, tmp_path / "fewer")
    gone = of(fewer, "plum")[:3]
    forget_images(whole, gone, out=tmp_path / "forgotten")
    for path in gone:
        path.unlink()
    same(train_quick(fewer, tmp_path / "trained").bundle, tmp_path / "forgotten")


def test_a_new_version_is_written_whole_or_not_at_all(
    part: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = load_bundle(part).manifest

    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("greengrocer.bundles.save.write_manifest", fails)
        with pytest.raises(OSError, match="No space"):
            teach(part, "lime", of(photos, "lime"))
    assert load_bundle(part).manifest == before
    teach(part, "lime", of(photos, "lime"))
    assert load_bundle(part).manifest.version != before.version


def test_what_cannot_be_taught_is_refused_in_a_line(
    part: Path, photos: Path, fake_bundle: Path
) -> None:
    limes = of(photos, "lime")
    with pytest.raises(UsageError, match="already an image of plum"):
        teach(part, "lime", [*limes, of(photos, "plum")[0]])
    with pytest.raises(UsageError, match="has no class 'lmie'"):
        forget_class(part, "lmie")
    with pytest.raises(UsageError, match="has none of these images"):
        forget_images(part, limes)
    with pytest.raises(BundleRefused, match=r"has no statistics\.safetensors"):
        teach(fake_bundle, "lime", limes)
    forget_class(part, "plum")
    with pytest.raises(UsageError, match="would have one class"):
        forget_class(part, "quince")


def test_damaged_statistics_are_refused_and_serving_does_not_read_them(
    whole: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(whole, tmp_path / "copy")
    (copy / STATISTICS).unlink()
    build_pipeline(load_bundle(copy)).close()
    with pytest.raises(BundleRefused, match="nothing can be taught to it"):
        forget_class(copy, "lime")
    (copy / STATISTICS).write_bytes(b"x")
    with pytest.raises(BundleRefused, match="SHA-256"):
        forget_class(copy, "lime")


def test_data_that_cannot_be_used_is_refused_in_a_line(photos: Path, tmp_path: Path) -> None:
    draw(tmp_path / "one", ["lime"])
    with pytest.raises(DatasetUnusable, match="one class"):
        train_quick(tmp_path / "one", tmp_path / "out")
    (tmp_path / "one" / "empty").mkdir()  # a folder without images is no class
    with pytest.raises(DatasetUnusable, match="one class"):
        train_quick(tmp_path / "one", tmp_path / "out")
    (tmp_path / "one" / "labels.csv").write_text("path,kind\n")
    with pytest.raises(
        DatasetUnusable, match=r"one class.*; its list cannot be used: labels\.csv: "
    ):
        train_quick(tmp_path / "one", tmp_path / "out")
    two = shutil.copytree(photos, tmp_path / "two")
    for number, path in enumerate(of(two, "lime")[:7]):
        shutil.copy(path, two / "plum" / f"lime{number}.jpg")
    with pytest.raises(DatasetUnusable) as refused:
        train_quick(two, tmp_path / "out")
    said = str(refused.value)
    assert "7 files in two classes, byte for byte: plum/lime0.jpg = lime/0.jpg; plum/lime1" in said
    assert "plum/lime5" not in said
    assert said.endswith(
        " and 2 more, which `greengrocer data check` lists: remove the wrong one of each pair"
    )
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_read_is_left_out_and_any_layout_is_understood(
    photos: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    for index, name in enumerate(("apple", "lime")):
        for split in ("train", "valid", "test"):
            (folder / split / name).mkdir(parents=True)
        for number, path in enumerate(of(photos, name)[:4]):
            split = ("train", "train", "valid", "test")[number]
            shutil.copy(path, folder / split / name / f"{index}{number}.jpg")
    cut = folder / "train" / "lime" / "cut.jpg"
    cut.write_bytes(of(photos, "lime")[4].read_bytes()[:300])
    found = read_labelled(folder)
    assert [each.path.name for each in found.unreadable] == ["cut.jpg"]
    assert sorted(each.path.name for each in found.data.pictures) == [
        *("00.jpg", "01.jpg", "10.jpg", "11.jpg"),
    ]
    assert sorted(each.path.name for each in found.held_out) == ["02.jpg", "12.jpg"]
    assert found.tested == 2
    for path in (folder / "train" / "apple").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DatasetUnusable, match="one class"):
        read_labelled(folder)
