from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from greengrocer.bundles.bundle import load_bundle
from greengrocer.bundles.card import CARD, card, read_card
from greengrocer.bundles.manifest import GRAPH, WEIGHTS, Network
from greengrocer.bundles.save import GoldenImage, Model, save_bundle
from greengrocer.bundles.trained_on import TRAINED_ON, read_trained_on
from greengrocer.errors import UsageError
from greengrocer.imaging.geometry import Geometry
from support.graphs import grey_graph
from support.make_images import jpeg

MADE = datetime(2026, 2, 3, tzinfo=UTC)


@pytest.fixture
def model() -> Model:
    return Model(
        name="greys",
        classes=tuple(f"grey-{k}" for k in range(10)),
        coarse=("dark", "light"),
        coarse_of=(0,) * 5 + (1,) * 5,
        geometry=Geometry(width=32, height=32),
        known_threshold=0.3,
        fine_threshold=0.0,
        coarse_threshold=0.0,
        network=Network(architecture="efficientnet-lite0", temperature=1.2),
        graph=grey_graph(),
        weights={"head.bias": np.arange(10, dtype=np.float16)},
        provenance={"recipe": {"name": "greys"}},
        metrics={"held_out_top1": 99.0},
    )


@pytest.fixture
def goldens(tmp_path: Path) -> list[GoldenImage]:
    for name, level in (("a b.JPG", 15), ("ü.jpeg", 240)):
        (tmp_path / name).write_bytes(jpeg(level))
    return [
        GoldenImage(tmp_path / "a b.JPG", "grey-0", 0.6),
        GoldenImage(tmp_path / "ü.jpeg", "grey-9", 0.7),
    ]


def test_a_saved_bundle_loads(tmp_path: Path, model: Model, goldens: list[GoldenImage]) -> None:
    written = save_bundle(model, goldens, tmp_path / "deep" / "greys", MADE)
    bundle = load_bundle(tmp_path / "deep" / "greys")
    assert bundle.manifest == written
    assert written.version == f"20260203-{sha256(model.graph).hexdigest()[:8]}"
    assert (written.coarse_of, written.known_threshold) == (model.coarse_of, 0.3)
    assert [golden.file for golden in written.goldens] == ["goldens/1.jpg", "goldens/2.jpeg"]
    assert (bundle.directory / "goldens/1.jpg").read_bytes() == jpeg(15)
    assert (bundle.directory / GRAPH).read_bytes() == model.graph
    assert model.weights is not None
    np.testing.assert_array_equal(
        load_file(bundle.directory / WEIGHTS)["head.bias"], model.weights["head.bias"]
    )


def test_the_card_has_a_digest_and_agrees_with_the_manifest(
    tmp_path: Path, model: Model, goldens: list[GoldenImage]
) -> None:
    written = save_bundle(model, goldens, tmp_path / "greys", MADE)
    stored = (tmp_path / "greys" / CARD).read_bytes()
    assert written.files[CARD] == sha256(stored).hexdigest()
    sizes = {name: (tmp_path / "greys" / name).stat().st_size for name in written.files}
    assert read_card(load_bundle(tmp_path / "greys")) == card(written, sizes) == stored.decode()
    assert f"greys {written.version}" in stored.decode()


def test_a_save_leaves_no_other_files_behind(
    tmp_path: Path, model: Model, goldens: list[GoldenImage]
) -> None:
    save_bundle(model, goldens, tmp_path / "out" / "greys", MADE)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["greys"]
    found = {
        path.relative_to(tmp_path / "out" / "greys").as_posix()
        for path in (tmp_path / "out" / "greys").rglob("*")
        if path.is_file()
    }
    assert found == {"manifest.json", CARD, GRAPH, WEIGHTS, "goldens/1.jpg", "goldens/2.jpeg"}


def test_a_save_that_fails_leaves_no_bundle(
    tmp_path: Path, model: Model, goldens: list[GoldenImage]
) -> None:
    def prove(directory: Path) -> None:
        raise UsageError(f"{load_bundle(directory).manifest.name} is refused")

    with pytest.raises(UsageError, match="greys is refused"):
        save_bundle(model, goldens, tmp_path / "out" / "greys", MADE, prove)
    assert not list((tmp_path / "out").iterdir())
    goldens[1].path.unlink()
    with pytest.raises(FileNotFoundError):
        save_bundle(model, goldens, tmp_path / "out" / "greys", MADE)
    assert not list((tmp_path / "out").iterdir())


def test_a_save_touches_no_folder_beside_it(
    tmp_path: Path, model: Model, goldens: list[GoldenImage]
) -> None:
    for name in ("greys.part", "greys.new", "greys.old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine").write_text("kept")
    save_bundle(model, goldens, tmp_path / "greys", MADE)
    assert len(list(tmp_path.rglob("mine"))) == 3


def test_others_may_read_a_saved_bundle(
    tmp_path: Path, model: Model, goldens: list[GoldenImage]
) -> None:
    save_bundle(model, goldens, tmp_path / "greys", MADE)
    (tmp_path / "new").mkdir()
    assert (tmp_path / "greys").stat().st_mode == (tmp_path / "new").stat().st_mode


def test_an_existing_bundle_is_not_overwritten(
    tmp_path: Path, model: Model, goldens: list[GoldenImage]
) -> None:
    save_bundle(model, goldens, tmp_path / "greys", MADE)
    with pytest.raises(UsageError, match="greys exists: delete it"):
        save_bundle(model, goldens, tmp_path / "greys", MADE)


@pytest.mark.parametrize("file", [GRAPH, WEIGHTS])
def test_a_file_over_its_limit_is_refused(
    tmp_path: Path, model: Model, goldens: list[GoldenImage], file: str
) -> None:
    with pytest.raises(UsageError, match=f"{file} would have .* bytes, over 50"):
        save_bundle(replace(model, limits={file: 50}), goldens, tmp_path / "greys", MADE)
    assert not (tmp_path / "greys").exists()


def test_a_name_that_is_invalid_in_a_manifest_is_refused_in_one_line(
    tmp_path: Path, model: Model, goldens: list[GoldenImage]
) -> None:
    named = replace(model, classes=("a\tb", *model.classes[1:]))
    with pytest.raises(UsageError, match=r"manifest\.json: classes\.0: ") as refused:
        save_bundle(named, goldens, tmp_path / "greys", MADE)
    assert "\n" not in str(refused.value)


def test_a_dangling_link_at_the_destination_is_refused(
    tmp_path: Path, model: Model, goldens: list[GoldenImage]
) -> None:
    (tmp_path / "greys").symlink_to(tmp_path / "nothing")
    with pytest.raises(UsageError, match="greys exists: delete it"):
        save_bundle(model, goldens, tmp_path / "greys", MADE)


def test_a_bundle_lists_the_images_that_trained_it(
    tmp_path: Path, model: Model, goldens: list[GoldenImage]
) -> None:
    seen, other = (sha256(name).hexdigest() for name in (b"seen", b"other"))
    save_bundle(replace(model, trained_on=[seen, seen]), goldens, tmp_path / "greys", MADE)
    bundle = load_bundle(tmp_path / "greys")
    assert bundle.read(TRAINED_ON) == bytes.fromhex(seen)[:8]
    found = read_trained_on(bundle)
    assert found is not None
    assert (seen in found, other in found) == (True, False)
    save_bundle(model, goldens, tmp_path / "silent", MADE)
    assert read_trained_on(load_bundle(tmp_path / "silent")) is None
