from pathlib import Path

import numpy as np
import pytest

from greengrocer.assemble_pipeline import build_pipeline
from greengrocer.bundles.bundle import load_bundle
from greengrocer.datasets.dataset import read_split
from greengrocer.errors import DatasetUnusable
from greengrocer.evaluation.corruptions import CORRUPTIONS
from greengrocer.evaluation.evaluate import evaluate
from greengrocer.evaluation.robustness import Robustness, robustness
from support.folders import write_folders

NAMES = list(CORRUPTIONS)


def measured(bundle_directory: Path, data: Path) -> Robustness:
    bundle = load_bundle(bundle_directory)
    pipeline = build_pipeline(bundle, "fake")
    return robustness(pipeline, evaluate(pipeline, bundle.manifest, read_split(data, "val"), 2), 2)


def test_only_brightness_hurts_an_engine_that_sees_only_brightness(
    fake_bundle: Path, tmp_path: Path
) -> None:
    # A class is 25.5 grey levels wide and severity 1 shifts by as much: of plain greys, the first
    # (seed 0, lighter) and the second (darker) are lost at once, all else leaves the mean alone.
    found = measured(fake_bundle, write_folders(tmp_path, {"grey-4": [115], "grey-5": [140]}))
    assert list(found.fine_top1) == NAMES
    for name, shares in found.fine_top1.items():
        assert shares == ([0.0] * 5 if name == "brightness" else [1.0] * 5), name
    assert found.by_severity == pytest.approx([6 / 7] * 5)
    assert found.relative_loss == pytest.approx(1 / 7)
    assert found.relative_loss_interval == pytest.approx((1 / 7, 1 / 7))


def test_the_loss_is_relative_to_clean_and_of_severities_1_to_3() -> None:
    clean = np.array([True, True, True, True, False])
    corrupted = np.zeros((5, len(NAMES), 5), bool)
    corrupted[:3, :, :3] = True  # 60 % at severities 1 to 3, of 80 % clean
    corrupted[0, :, 3:] = True
    found = Robustness(clean, corrupted)
    assert found.relative_loss == pytest.approx(1 - 0.6 / 0.8)
    assert found.by_severity == pytest.approx([0.6, 0.6, 0.6, 0.2, 0.2])
    interval = found.relative_loss_interval
    assert interval is not None
    assert interval.low < 0.25 < interval.high
    assert found.figures == {
        "relative_loss_1_to_3": found.relative_loss,
        "fine_top1": found.fine_top1,
    }


def test_without_a_correct_answer_there_is_no_loss() -> None:
    found = Robustness(np.zeros(2, bool), np.zeros((2, len(NAMES), 5), bool))
    assert found.relative_loss is None
    assert found.relative_loss_interval is None


def test_a_missing_image_is_named(fake_bundle: Path, tmp_path: Path) -> None:
    data = write_folders(tmp_path, {"grey-4": [115]})
    bundle = load_bundle(fake_bundle)
    pipeline = build_pipeline(bundle, "fake")
    evaluation = evaluate(pipeline, bundle.manifest, read_split(data, "val"), 1)
    (data / "grey-4" / "115.jpg").unlink()
    with pytest.raises(DatasetUnusable, match=r"115\.jpg: No such file"):
        robustness(pipeline, evaluation, 1)
