from pathlib import Path
from typing import Any

import numpy as np
import pytest

from greengrocer.bundles.manifest import Manifest, Network, read_manifest
from greengrocer.errors import UsageError
from greengrocer.evaluation.fold_answers import read_fold_answers

TRUTH = np.array([0, 1, 2, 9, 5])
FOLD = np.array([0, 0, 1, 1, -1])


@pytest.fixture
def manifest(fake_bundle: Path) -> Manifest:
    network = Network(architecture="efficientnet-lite0", temperature=2.0)
    update = {"network": network, "metrics": {"out_of_fold_top1": 75.0}}
    return read_manifest(fake_bundle).model_copy(update=update)


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """Five images, of which one was never held out and one is answered wrongly."""
    logits = 4 * np.eye(10, dtype=np.float32)[[0, 1, 3, 9, 5]]
    logits[FOLD < 0] = np.nan
    small = np.roll(logits, 1, axis=1)
    path = tmp_path / "bundle.out_of_fold.npz"
    sizes, sized = np.array([0.5, 1.0]), np.stack([small, logits])
    np.savez(path, in_int8=logits, truth=TRUTH, fold=FOLD, sizes=sizes, sized_logits=sized)
    return path


def test_the_answers_are_calibrated_as_the_bundle_is(stored: Path, manifest: Manifest) -> None:
    found = read_fold_answers(stored, manifest)
    assert found.groups.tolist() == [0, 0, 1, 1]
    assert found.labels.tolist() == [0, 1, 2, 9]
    assert found.right.tolist() == [True, True, False, True]
    expected = np.exp(2) / (np.exp(2) + 9)
    np.testing.assert_allclose(found.probabilities.max(axis=1), expected, rtol=1e-6)
    assert found.sizes == (0.5, 1.0)
    assert found.right_by_size is not None
    assert found.right_by_size.tolist() == [[False, False, False, False], found.right.tolist()]


def test_a_file_of_one_size_is_read(stored: Path, manifest: Manifest) -> None:
    with np.load(stored) as file:
        np.savez(stored, in_int8=file["in_int8"], truth=TRUTH, fold=FOLD)
    found = read_fold_answers(stored, manifest)
    assert (found.sizes, found.right_by_size) == ((1.0,), None)


def test_answers_of_another_bundle_are_refused(stored: Path, manifest: Manifest) -> None:
    others: list[dict[str, Any]] = [
        {"metrics": {"out_of_fold_top1": 80.0}},
        {"metrics": {}},
        {"network": None},
        {"classes": manifest.classes[1:]},
    ]
    for update in others:
        with pytest.raises(UsageError, match=r"npz is not of the training of the bundle greys 1"):
            read_fold_answers(stored, manifest.model_copy(update=update))


def test_what_holds_no_answers_is_refused(tmp_path: Path, manifest: Manifest) -> None:
    with pytest.raises(UsageError, match=r"none\.npz cannot be read: No such file"):
        read_fold_answers(tmp_path / "none.npz", manifest)
    (tmp_path / "text.npz").write_text("text")
    with pytest.raises(UsageError, match=r"text\.npz holds no answers of folds"):
        read_fold_answers(tmp_path / "text.npz", manifest)
    np.savez(tmp_path / "other.npz", key=np.array("gate"))
    with pytest.raises(UsageError, match=r"other\.npz holds no answers of folds: name the"):
        read_fold_answers(tmp_path / "other.npz", manifest)
    np.save(tmp_path / "plain.npy", TRUTH)
    blank = np.full((5, 10), np.nan, np.float32)
    np.savez(tmp_path / "begun.npz", in_int8=blank, truth=TRUTH, fold=FOLD)
    with pytest.raises(UsageError, match=r"begun\.npz holds no answers yet: let the training end"):
        read_fold_answers(tmp_path / "begun.npz", manifest)
    with pytest.raises(UsageError, match=r"plain\.npy holds no answers of folds"):
        read_fold_answers(tmp_path / "plain.npy", manifest)
