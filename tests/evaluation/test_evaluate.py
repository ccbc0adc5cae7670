from pathlib import Path

import numpy as np
import pytest

from greengrocer.assemble_pipeline import build_pipeline
from greengrocer.bundles.bundle import load_bundle
from greengrocer.datasets.dataset import read_split
from greengrocer.errors import DatasetUnusable
from greengrocer.evaluation.evaluate import Evaluation, evaluate, known_scores
from support.bundles import write_fake_bundle
from support.folders import write_folders


def evaluated(bundle_directory: Path, data: Path) -> Evaluation:
    bundle = load_bundle(bundle_directory)
    return evaluate(build_pipeline(bundle, "fake"), bundle.manifest, read_split(data, "val"), 2)


def test_a_folder_per_class_is_scored(fake_bundle: Path, tmp_path: Path) -> None:
    # 12 and 240 are answered rightly; 100 is a grey-3 that lies in grey-9's folder.
    data = write_folders(tmp_path, {"grey-0": [12], "grey-9": [240, 100]})
    evaluation = evaluated(fake_bundle, data)
    assert evaluation.labels.tolist() == [0, 9, 9]
    assert evaluation.probabilities.argmax(axis=1).tolist() == [0, 3, 9]
    assert evaluation.probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert evaluation.known_scores == pytest.approx(evaluation.probabilities.max(axis=1))
    scores = evaluation.scores
    assert scores.n == 3
    assert scores.fine_top1 == scores.coarse_top1 == pytest.approx(2 / 3)
    assert scores.macro_f1 == pytest.approx((1 + 2 / 3) / 2)


def test_evidence_is_that_of_the_predicted_class(fake_bundle: Path, tmp_path: Path) -> None:
    evaluation = evaluated(fake_bundle, write_folders(tmp_path, {"grey-0": [12], "grey-9": [100]}))
    assert [path.name for path in evaluation.paths] == ["012.jpg", "100.jpg"]
    # The fake engine's logits lie within half a class of the best one's: 0 down to -1/4.
    assert evaluation.evidence is not None
    assert evaluation.evidence.shape == (2, 3, 3)
    assert np.all((evaluation.evidence <= 0) & (evaluation.evidence >= -0.25))


def test_known_scores_of_a_plain_folder(fake_bundle: Path, tmp_path: Path) -> None:
    pipeline = build_pipeline(load_bundle(fake_bundle), "fake")
    data = write_folders(tmp_path / "any", {"a": [12], "b": [100]})
    expected = evaluated(fake_bundle, write_folders(tmp_path / "c", {"grey-0": [12, 100]}))
    assert expected.known_scores is not None
    assert known_scores(pipeline, data, 2).known_scores.tolist() == expected.known_scores.tolist()
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetUnusable, match="empty holds no images"):
        known_scores(pipeline, tmp_path / "empty", 2)


def test_coarse_is_the_sum_of_fine(fake_bundle: Path, tmp_path: Path) -> None:
    # Grey 126 is a grey-4 (dark), 129 a grey-5 (light): each is half as sure of its half.
    evaluation = evaluated(fake_bundle, write_folders(tmp_path, {"grey-4": [126, 129]}))
    dark = evaluation.probabilities[:, :5].sum(axis=1)
    assert np.all(np.abs(dark - 0.5) < 0.1)
    assert evaluation.scores.coarse_top1 == np.mean(dark > 0.5) == 0.5


def test_a_model_without_a_hierarchy_has_no_coarse_score(tmp_path: Path) -> None:
    flat = write_fake_bundle(tmp_path / "flat", hierarchy=False)
    data = write_folders(tmp_path / "data", {"grey-0": [1]})
    assert evaluated(flat, data).scores.coarse_top1 is None


def test_a_class_that_the_model_lacks_is_refused_in_one_line(
    fake_bundle: Path, tmp_path: Path
) -> None:
    data = write_folders(tmp_path, {"grey-1": [30], "kiwi": [40]})
    with pytest.raises(
        DatasetUnusable, match="greys lacks classes that the data set has: 'kiwi'"
    ) as refused:
        evaluated(fake_bundle, data)
    assert "\n" not in str(refused.value)


def test_unreadable_images_are_left_out(fake_bundle: Path, tmp_path: Path) -> None:
    data = write_folders(tmp_path, {"grey-1": [30], "grey-2": [60]})
    (data / "grey-1" / "001.png").write_bytes(b"broken")
    evaluation = evaluated(fake_bundle, data)
    assert evaluation.labels.tolist() == [1, 2]
    assert [path.name for path in evaluation.paths] == ["030.jpg", "060.jpg"]
    (left_out,) = evaluation.unreadable
    assert left_out.path.name == "001.png"
    assert "the file is not an image" in left_out.why
