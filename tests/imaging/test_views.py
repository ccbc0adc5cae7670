"""Squares about the middle of the input, and where their evidence lies."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greengrocer.imaging.views import MOST_PLACES, Views


@pytest.mark.parametrize(
    ("shares", "size", "expected"),
    [
        ((1.0,), 300, Views(300, (300,))),
        ((1.0, 0.6667), 256, Views(384, (384, 256))),
        ((1.0, 2 / 3), 192, Views(288, (288, 192))),
        ((1.0, 0.8, 0.6), 225, Views(375, (375, 301, 225))),
        ((0.875,), 224, Views(256, (224,))),
    ],
)
def test_the_smallest_view_has_the_size_asked_for(
    shares: tuple[float, ...], size: int, expected: Views
) -> None:
    found = Views.of_shares(shares, size)
    assert found == expected
    assert found.size == size
    assert found.single == (shares == (1.0,))


@pytest.mark.parametrize(
    ("shares", "size", "why"),
    [
        ((), 256, "1 to 4 views, not 0"),
        ((1.0, 0.9, 0.8, 0.7, 0.6), 256, "1 to 4 views, not 5"),
        ((1.0, 0.2), 64, "has 0.2 of the frame's side: it must be 0.25 to 1"),
        ((1.5,), 64, "has 1.5 of"),
        ((-1.0,), 64, "has -1 of"),
        ((1.0, math.nan), 64, "has nan of"),
        ((1.0, 1.0), 256, "two views are the same"),
        ((1.0, 0.9999), 256, "two views are the same"),
        ((1.0, 0.25), 1024, "an input of 4096 pixels"),
    ],
)
def test_views_that_cannot_be_are_refused(shares: tuple[float, ...], size: int, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Views.of_shares(shares, size)


@given(
    # shares that differ in pixels at every size, too
    shares=st.lists(
        st.sampled_from([0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]),
        min_size=1,
        max_size=3,
        unique=True,
    ),
    rows=st.integers(1, 9),
    seed=st.integers(0, 99),
)
def test_the_mean_over_the_grid_is_the_mean_of_the_maps(
    shares: list[float], rows: int, seed: int
) -> None:
    views = Views.of_shares(shares, 32 * rows)
    places = views.places(rows).astype(np.float64)
    maps = np.random.default_rng(seed).normal(size=(len(shares), rows, rows))
    laid = places @ maps @ places.transpose(0, 2, 1)
    assert laid.shape[1] <= MOST_PLACES
    np.testing.assert_allclose(laid.mean(axis=(1, 2)), maps.mean(axis=(1, 2)), atol=1e-6)


@pytest.mark.parametrize("size", [192, 256])
def test_evidence_lies_where_its_view_looks(size: int) -> None:
    views, rows = Views.of_shares((1.0, 2 / 3), size), size // 32
    whole, middle = views.places(rows)
    cell = views.input_side / len(whole)
    assert (whole[:3, 0] > 0).all(), "three cells to a row"
    assert not whole[3:, 0].any()
    seen = np.flatnonzero(middle.any(axis=1))
    assert seen[0] * cell == views.margin(size)
    assert (seen[-1] + 1) * cell == views.margin(size) + size
