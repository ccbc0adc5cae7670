from pathlib import Path

import pytest

from greengrocer.bundles.bundle import Bundle, load_bundle
from greengrocer.bundles.manifest import read_manifest
from greengrocer.bundles.trained_on import TRAINED_ON
from greengrocer.datasets.dataset import Dataset, LabelledImage, Taxonomy, read_split
from greengrocer.errors import BundleRefused, DatasetUnusable
from greengrocer.evaluation.training_overlap import TrainingOverlap, scored_images
from support.bundles import digests, write_fake_bundle


def test_the_shipped_bundles_were_trained_on_both_splits_of_their_data_set(
    shipped_bundle: Path, dataset: Path
) -> None:
    bundle, val = load_bundle(shipped_bundle), read_split(dataset, "val")
    few = Dataset(val.taxonomy, val.pictures[:7])
    labelled, overlap = scored_images(bundle, few, unseen=False)
    assert labelled == few
    assert overlap == TrainingOverlap(trained_on=7)
    with pytest.raises(DatasetUnusable, match="trained on all of these 7 images"):
        scored_images(bundle, few, unseen=True)


def test_the_shipped_bundles_were_not_trained_on_images_of_others(
    shipped_bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "own.jpg").write_bytes(b"an image of my own")
    own = Dataset(Taxonomy(("Lime",)), (LabelledImage(tmp_path / "own.jpg", 0),))
    assert scored_images(load_bundle(shipped_bundle), own, unseen=True) == (
        own,
        TrainingOverlap(0, 0),
    )


def test_a_list_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    directory = write_fake_bundle(tmp_path / "greys")
    (directory / TRAINED_ON).write_bytes(b"12345678 123")
    manifest = read_manifest(directory)
    files = manifest.files | digests(directory, TRAINED_ON)
    bundle = Bundle(directory, manifest.model_copy(update={"files": files}))
    with pytest.raises(BundleRefused, match="is not a list of digests of 8 bytes"):
        scored_images(bundle, Dataset(Taxonomy(("a",)), ()), unseen=False)
