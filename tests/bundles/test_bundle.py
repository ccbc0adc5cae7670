import shutil
from pathlib import Path

import pytest

from greengrocer.assemble_pipeline import build_pipeline
from greengrocer.bundles.bundle import find_bundle, load_bundle, shipped_bundles
from greengrocer.bundles.manifest import GRAPH, WEIGHTS, read_manifest, write_manifest
from greengrocer.errors import BundleRefused
from support.graphs import write_onnx_bundle
from support.pictures import jpeg


@pytest.fixture
def copy(fake_bundle: Path, tmp_path: Path) -> Path:
    """A copy of the fake bundle, to be damaged."""
    return shutil.copytree(fake_bundle, tmp_path / "copy")


def refusal(directory: Path) -> str:
    with pytest.raises(BundleRefused) as refused:
        load_bundle(directory)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_sound_bundle_is_loaded(copy: Path) -> None:
    assert load_bundle(copy) == (copy, read_manifest(copy))


@pytest.mark.parametrize("name", [GRAPH, "golden.jpg"])
@pytest.mark.parametrize("position", [0, -1])
def test_one_changed_byte_is_refused_by_the_files_name(
    copy: Path, name: str, position: int
) -> None:
    data = bytearray((copy / name).read_bytes())
    data[position] ^= 1
    (copy / name).write_bytes(data)
    assert f"{name} has the SHA-256" in refusal(copy)


@pytest.mark.parametrize("name", [GRAPH, "golden.jpg"])
def test_a_missing_file_is_refused_by_its_name(copy: Path, name: str) -> None:
    (copy / name).unlink()
    assert f"{name}: No such file" in refusal(copy)


def test_a_directory_in_a_files_place_is_refused(copy: Path) -> None:
    (copy / GRAPH).unlink()
    (copy / GRAPH).mkdir()
    assert f"{GRAPH} is not a regular file" in refusal(copy)


@pytest.mark.parametrize("target", ["outside.jpg", "copy/twin.jpg"])
def test_a_link_is_refused_even_to_the_right_bytes(copy: Path, target: str) -> None:
    (copy / "golden.jpg").rename(copy.parent / target)
    (copy / "golden.jpg").symlink_to(copy.parent / target)
    assert "golden.jpg is a link" in refusal(copy)


def test_a_folder_that_is_a_link_out_of_the_bundle_is_refused(copy: Path) -> None:
    outside = copy.parent / "outside"
    outside.mkdir()
    shutil.copy(copy / "golden.jpg", outside / "twin.jpg")
    (copy / "goldens").symlink_to(outside, target_is_directory=True)
    manifest = read_manifest(copy)
    files = {**manifest.files, "goldens/twin.jpg": manifest.files["golden.jpg"]}
    write_manifest(manifest.model_copy(update={"files": files}), copy)
    assert "twin.jpg is a link" in refusal(copy)


def test_only_the_float_weights_may_be_left_out(copy: Path) -> None:
    manifest = read_manifest(copy)
    files = {**manifest.files, WEIGHTS: "0" * 64}
    write_manifest(manifest.model_copy(update={"files": files}), copy)
    assert load_bundle(copy).manifest.files == files
    (copy / WEIGHTS).write_bytes(b"not these")
    assert f"{WEIGHTS} has the SHA-256" in refusal(copy)


def test_a_bundle_is_found_by_its_directory(copy: Path) -> None:
    assert find_bundle(str(copy)) == copy


@pytest.mark.parametrize("name", ["no-such-bundle", "../grocery", ""])
def test_a_bundle_that_is_not_there_is_refused_by_its_name(name: str, tmp_path: Path) -> None:
    wanted = str(tmp_path / "nowhere" / name)
    with pytest.raises(BundleRefused, match="there is no bundle "):
        find_bundle(wanted)


def test_a_shipped_bundle_is_sound(shipped_bundle: Path) -> None:
    assert shipped_bundles()[shipped_bundle.name] == shipped_bundle
    assert find_bundle(shipped_bundle.name) == shipped_bundle
    assert len(load_bundle(shipped_bundle).manifest.classes) == 81


@pytest.mark.parametrize("name", [GRAPH, "golden.jpg"])
def test_what_changes_after_it_was_verified_is_not_used(tmp_path: Path, name: str) -> None:
    directory = write_onnx_bundle(tmp_path / "greys")
    bundle = load_bundle(directory)
    good = (directory / name).read_bytes()
    # sound by itself, and yet another
    (directory / name).write_bytes(good + b"\0" if name == GRAPH else jpeg(101))
    with pytest.raises(BundleRefused, match=f"{name} has the SHA-256"):
        build_pipeline(bundle)
    with pytest.raises(BundleRefused, match=f"{name} has the SHA-256"):
        bundle.copy_to(tmp_path / "copy")
    (directory / name).write_bytes(good)
    build_pipeline(bundle).close()


def test_a_copy_is_the_same_bundle(tmp_path: Path) -> None:
    bundle = load_bundle(write_onnx_bundle(tmp_path / "greys"))
    bundle.copy_to(tmp_path / "copy")
    assert load_bundle(tmp_path / "copy").manifest == bundle.manifest
