import hashlib

import numpy as np

from greengrocer.calibration.temperature import calibrated
from greengrocer.figures.score import expected_calibration_error
from greengrocer.quick.calibration import calibrate, folds_of, prototypes
from greengrocer.quick.head import make_head
from greengrocer.quick.statistics import Statistics, gather
from greengrocer.quick.train import CALIBRATION
from greengrocer.training.data.scenes import NEVER_HELD_OUT

CHANNELS = 24


def drawn(each: int, seed: int = 0, noise: float = 1.0) -> Statistics:
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(4), each)
    features = noise * random.normal(0, 1, (4 * each, CHANNELS))
    features += 2 * np.eye(4, CHANNELS)[labels]
    digests = [hashlib.sha256(f"{seed} {k}".encode()).hexdigest() for k in range(4 * each)]
    return gather("abcd", digests, labels, features)


def test_alike_images_are_held_out_together() -> None:
    few = drawn(6)
    doubled = Statistics(
        few.classes,
        np.repeat(few.digests, 2, axis=0),
        np.repeat(few.labels, 2),
        np.repeat(few.features, 2, axis=0),
    )
    folds = folds_of(doubled, seed=1)
    np.testing.assert_array_equal(folds[::2], folds[1::2])
    assert (folds != NEVER_HELD_OUT).all()


def test_confidence_is_honest_on_images_that_were_not_there() -> None:
    found = drawn(25, noise=1.2)
    calibration = calibrate(found, None, 1, CALIBRATION)
    head = make_head(found, calibration, None)
    fresh = drawn(500, seed=9, noise=1.2)
    logits = fresh.features.astype(np.float32) @ head.weight + head.bias
    probabilities = calibrated(logits, 1.0)
    right = probabilities.argmax(axis=1) == fresh.labels
    assert expected_calibration_error(probabilities.max(axis=1), right) < 0.08
    low, high = calibration.interval or (0, 0)
    assert low - 5 < 100 * right.mean() < high + 5


def test_one_image_a_class_is_not_judged() -> None:
    calibration = calibrate(drawn(1), None, 1, CALIBRATION)
    assert calibration.judged == 0
    assert calibration.interval is None
    assert calibration.metrics == {}


def test_a_prototype_points_to_its_class_and_away_from_what_varies_within_classes() -> None:
    found = drawn(10)
    noisy = found.features.copy()
    noisy[:, -1] = 50 * noisy[:, -1]
    moments = gather("abcd", [bytes(d).hex() for d in found.digests], found.labels, noisy).moments()
    centre, directions = prototypes(moments)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1)
    np.testing.assert_allclose(centre, noisy.astype(float).mean(axis=0))
    means = moments.sums / moments.counts[:, None] - centre
    assert (directions @ means.T).argmax(axis=1).tolist() == [0, 1, 2, 3]
    plain = means / np.linalg.norm(means, axis=1, keepdims=True)
    assert np.abs(directions[:, -1]).max() < 0.25 * np.abs(plain[:, -1]).max()
