import numpy as np
import pytest

from greengrocer.calibration.thresholds import Thresholds
from greengrocer.training.recipe import Export, Recipe
from greengrocer.training.release.finish import RawAnswers, calibrate
from greengrocer.training.release.sizes import figures_by_size, size_metrics

SIZES = (0.5, 1.0, 1.4)
TRUTH = np.array([0, 0, 1, 1])
LOGITS = np.array([[8, 0], [2, 0], [0, 8], [0, 2]], np.float32)
KNOWN = np.array([0.9, 0.8, 0.7, 0.6], np.float32)


def at_sizes() -> tuple[np.ndarray, np.ndarray]:
    """At 0.5 three answers are wrong, at 1.4 one, and there the known scores are low."""
    logits = np.stack([LOGITS, LOGITS, LOGITS])
    logits[0, 1:] *= -1
    logits[2, 3] *= -1
    return logits, np.stack([KNOWN, KNOWN, KNOWN - 0.5])


def test_each_size_has_its_figures_under_the_same_temperature_and_thresholds() -> None:
    logits, known = at_sizes()
    limits = Thresholds(known=0.3, fine=0.9, coarse=0.0)
    found = figures_by_size(SIZES, logits, known, TRUTH, None, 1.0, limits)
    assert [found[size]["top1"] for size in SIZES] == [25, 100, 75]
    assert [found[size]["named_unknown"] for size in SIZES] == [50, 50, 75]
    assert "coarse_top1" not in found[1.0]
    metrics = size_metrics(found)
    assert metrics["top1_at_0.5"] == 25
    assert metrics["top1_over_sizes"] == pytest.approx(200 / 3)
    assert (metrics["top1_worst_size"], metrics["named_unknown_worst_size"]) == (25, 75)
    assert metrics["ece_worst_size"] == max(each["ece"] for each in found.values())
    assert "top1_at_1" not in metrics


def test_a_figure_that_a_size_lacks_has_no_mean() -> None:
    metrics = size_metrics({0.5: {"top1": 50.0}, 1.0: {"top1": 80.0, "answer_precision": 99.0}})
    assert metrics == {"top1_at_0.5": 50, "top1_over_sizes": 65, "top1_worst_size": 50}


def test_the_sizes_near_that_of_the_images_set_temperature_and_thresholds(
    capsys: pytest.CaptureFixture[str],
) -> None:
    recipe = Recipe(
        name="two", backbone="efficientnet-lite0", export=Export(judged_sizes=(1.4, 0.5, 1.0))
    )
    assert recipe.export.judged_sizes == SIZES
    logits, known = at_sizes()
    near = (np.concatenate(logits[1:]), np.concatenate(known[1:]), np.tile(TRUTH, 2))
    pooled = RawAnswers(near[0], *near)
    alone = calibrate(pooled, None, recipe, "out_of_fold")
    assert capsys.readouterr().out == ""
    plain = RawAnswers(LOGITS, LOGITS, KNOWN, TRUTH)
    raw = plain._replace(sized_logits=logits, sized_known_score=known)
    judged = calibrate(raw, None, recipe, "out_of_fold")
    assert (judged.temperature, judged.thresholds) == (alone.temperature, alone.thresholds)
    assert judged.metrics["out_of_fold_top1"] == 100
    assert judged.metrics["out_of_fold_top1_at_0.5"] == 25
    said = capsys.readouterr().out.splitlines()
    assert said[0].split() == [
        "at",
        "an",
        "apparent",
        "size",
        "of",
        "0.5",
        "1",
        "1.4",
        "mean",
        "worst,",
        "in",
        "%",
    ]
    assert said[1].split() == ["top1", "25.0", "100.0", "75.0", "66.7", "25.0"]


@pytest.mark.parametrize("sizes", [[0.5], [1.0, 1.0], [1.0, 0.1], [1.0, float("nan")], []])
def test_sizes_that_cannot_be_judged_are_refused(sizes: list[float]) -> None:
    with pytest.raises(ValueError, match="each once, with 1: as"):
        Export(judged_sizes=tuple(sizes))
