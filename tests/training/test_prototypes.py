import numpy as np
import pytest
import torch
from torch import nn

from greengrocer.engines.engine import Floats
from greengrocer.figures.clusters import cluster_directions
from greengrocer.networks.recogniser import AnswerHead, Prototypes
from greengrocer.training.release.prototypes import find_prototypes

FEATURES = 1280


def around(clusters: int, dimensions: int, count: int, spread: float) -> Floats:
    """Directions near the first axes, ``count`` near each."""
    points = np.repeat(np.eye(clusters, dimensions), count, axis=0)
    points += np.random.default_rng(2).normal(0, spread, points.shape)
    return np.asarray(points / np.linalg.norm(points, axis=1, keepdims=True), np.float32)


def test_prototypes_are_the_centres_of_the_clusters() -> None:
    found = cluster_directions(around(4, 10, 25, 0.02), 4)
    np.testing.assert_allclose(np.sort((found @ np.eye(4, 10).T).max(axis=1)), 1, atol=0.01)
    assert sorted((found @ np.eye(4, 10).T).argmax(axis=1)) == [0, 1, 2, 3]
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("count", [1, 3])
def test_few_images_are_their_own_prototypes(count: int) -> None:
    directions = around(count, 5, 1, 0.1)
    found = cluster_directions(directions, 6)
    np.testing.assert_allclose(np.sort(found, axis=0), np.sort(directions, axis=0), atol=1e-6)


def test_identical_images_are_no_error() -> None:
    assert np.isfinite(cluster_directions(around(1, 5, 8, 0.0), 6)).all()


def test_prototypes_are_seen_from_the_origin() -> None:
    features = np.array([[9, 1, 0], [0, 5, 0], [9, 3, 0]], np.float32)
    found = find_prototypes(features, np.array([0, 1, 0]))
    assert not found.centre.any()
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    expected = np.sort((features / lengths).astype(np.float16).astype(np.float32), axis=0)
    np.testing.assert_allclose(np.sort(found.directions.numpy(), axis=0), expected, atol=1e-3)


def test_the_known_score_falls_with_distance_and_with_uncertainty() -> None:
    head = nn.Linear(FEATURES, 3)
    nn.init.zeros_(head.bias)
    with torch.no_grad():
        head.weight.copy_(torch.eye(3, FEATURES) * 8)
    prototypes = Prototypes(torch.zeros(FEATURES), torch.eye(3, FEATURES))
    features = torch.zeros(4, FEATURES, 2, 2)
    features[0, 0] = 1  # plainly the first class
    features[1, :2] = 1  # the first or the second
    features[2, 0], features[2, 9] = 1, 3  # mostly something that no class has
    features[3] -= 1  # the opposite of all
    scores = {t: AnswerHead(head, prototypes, t, None)(features).known_score for t in (0.5, 2.0)}
    torch.testing.assert_close(scores[0.5], scores[2.0])
    plain, doubtful, strange, opposite = scores[0.5].tolist()
    assert 1 >= plain > 0.99 > doubtful > strange > opposite == 0
