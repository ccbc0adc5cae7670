import hashlib
from pathlib import Path

import numpy as np

from greengrocer.calibration.temperature import calibrated
from greengrocer.features.statistics import Shots, Statistics, gather
from greengrocer.figures.score import expected_calibration_error
from greengrocer.quick.calibration import calibrate, folds_of, prototypes
from greengrocer.quick.discriminant import discriminant
from greengrocer.quick.head import make_head
from greengrocer.quick.shots import shots_of
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
        np.repeat(few.shots, 2, axis=0),
    )
    folds = folds_of(doubled, seed=1)
    np.testing.assert_array_equal(folds[::2], folds[1::2])
    assert (folds != NEVER_HELD_OUT).all()


def test_alike_images_that_were_shot_in_turn_are_held_out_together() -> None:
    random = np.random.default_rng(4)
    pairs = np.repeat(random.normal(0, 1, (20, 200)), 2, axis=0)
    rows = pairs + 0.4 * random.normal(0, 1, pairs.shape)  # cosines of 0.86, less than a scene's
    names = [Path(f"IMG_{3 * (k // 2) + k % 2:04}.jpg") for k in range(40)]
    digests = [hashlib.sha256(bytes([k])).hexdigest() for k in range(40)]
    labels = np.repeat([0, 1], 20)

    def apart(shots: Shots | None) -> int:
        found = gather("ab", digests, labels, rows, shots)
        fold = {bytes(d).hex(): f for d, f in zip(found.digests, folds_of(found, 1), strict=True)}
        return sum(fold[digests[k][:16]] != fold[digests[k + 1][:16]] for k in range(0, 40, 2))

    assert apart(shots_of(names)) == 0
    assert apart(None) > 5
    far = shots_of([Path(f"IMG_{7 * k}.jpg") for k in range(40)])
    assert apart(far) > 5
    assert shots_of([Path("apple.jpg"), Path("2.jpg")]).tolist()[0] == [-1, -1, -1]


def test_near_duplicates_are_held_out_together_in_a_class_of_one_scene() -> None:
    random = np.random.default_rng(3)
    one = random.normal(0, 1, (8, 400)) + 3 * random.normal(0, 1, 400)  # a scene: cosines of 0.9
    scene = np.repeat(one, 2, axis=0) + 0.1 * random.normal(0, 1, (16, 400))
    other = random.normal(0, 1, (10, 400))
    digests = [hashlib.sha256(bytes([k])).hexdigest() for k in range(26)]
    found = gather("ab", digests, np.repeat([0, 1], [16, 10]), np.concatenate([scene, other]))
    folds = folds_of(found, seed=1)
    fold = {bytes(d).hex(): int(f) for d, f in zip(found.digests, folds, strict=True)}
    pairs = [[fold[d[:16]] for d in digests[k : k + 2]] for k in range(0, 16, 2)]
    assert all(first == second for first, second in pairs)
    assert len({first for first, _ in pairs}) > 1
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
    centre, directions = prototypes(moments, discriminant(moments))
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1)
    np.testing.assert_allclose(centre, noisy.astype(float).mean(axis=0))
    means = moments.sums / moments.counts[:, None] - centre
    assert (directions @ means.T).argmax(axis=1).tolist() == [0, 1, 2, 3]
    plain = means / np.linalg.norm(means, axis=1, keepdims=True)
    assert np.abs(directions[:, -1]).max() < 0.25 * np.abs(plain[:, -1]).max()
