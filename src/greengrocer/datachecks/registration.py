"""Whether two images are one photo: one is laid over the other as well as a flat copy can be.

A crop, a flip, a slight rotation and a change of brightness move and scale a photo's pixels by one
affine map. A second photo of the same thing differs by more: the camera has moved. So the map is
sought that makes the two most alike, and how alike they then are says which of both it is. The
likeness is the correlation of the pixels, and of their differences from their surroundings: the
second tells two objects before the same plain background apart.

Coarse shifts come from correlations of Fourier transforms; the map is refined as by Lucas and
Kanade (IJCAI 1981), with brightness and contrast left free.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from greengrocer.datachecks.thumbnails import GREY, Bytes, Numbers

SMALL = 32  # pixels of a side in the coarse search
SCALES = (1.0, 0.87, 1 / 0.87, 0.75, 1 / 0.75)  # of one image in the other
TURNS = (0.0, -7.0, 7.0)  # degrees; the refinement bridges what lies between
STARTS = 3  # coarse maps that are refined, the likeliest
LEAST_GUESS = 0.4  # correlation of a coarse map that is refined; altered copies reach 0.55
COARSE_STEPS, FINE_STEPS = 6, 8
HOPEFUL = 0.4  # likeness of the small images from which the large ones are looked at
LEAST_OVERLAP = 0.35  # of the image; less says nothing
BLOCK = 64  # pairs at a time, about 100 MB

Map = Numbers  # [..., 2, 3]: from points of the one image to the other's, -1 to 1 on both axes


@dataclass(frozen=True, eq=False)
class Registered:
    """For each of K pairs, how alike the two are once one lies over the other."""

    likeness: Numbers  # [K]: 1 for the same pixels, about 0 for unrelated ones
    unmoved: NDArray[np.bool_]  # [K]: whether nothing was cut, turned or flipped
    flipped: NDArray[np.bool_]  # [K]


def register(ones: Bytes, others: Bytes) -> Registered:
    """Lay each of ``others`` uint8 [K, 64, 64] over its partner in ``ones``, of the same shape."""
    parts = [
        _register(ones[at : at + BLOCK], others[at : at + BLOCK])
        for at in range(0, len(ones), BLOCK)
    ]
    if not parts:
        nothing = np.zeros(0, np.bool_)
        return Registered(np.zeros(0, np.float32), nothing, nothing)
    return Registered(
        np.concatenate([part.likeness for part in parts]),
        np.concatenate([part.unmoved for part in parts]),
        np.concatenate([part.flipped for part in parts]),
    )


def _register(ones: Bytes, others: Bytes) -> Registered:
    one, other = ones.astype(np.float32), others.astype(np.float32)
    both = np.stack([other, other[:, :, ::-1]])  # [2, K, 64, 64]
    small, small_both = _halved(one), np.stack([_halved(each) for each in both])
    maps, guess = _coarse(small, small_both[0])
    likeness = np.full(len(one), -1, np.float32)
    best = np.broadcast_to(_maps(1.0, 0.0), (len(one), 2, 3)).copy()
    mirrored = np.zeros(len(one), np.int64)
    order = np.argsort(-guess, axis=1)
    for place in range(STARTS):
        start = order[:, place]
        rows = np.flatnonzero(guess[np.arange(len(one)), start] >= LEAST_GUESS)
        if not rows.size:
            break
        turned = start[rows] // (guess.shape[1] // 2)
        moving = small_both[turned, rows]
        refined = _refine(small[rows], moving, maps[rows, start[rows]], COARSE_STEPS)
        alike = _likeness(small[rows], moving, refined)
        better = alike > likeness[rows]
        chosen = rows[better]
        likeness[chosen], best[chosen] = alike[better], refined[better]
        mirrored[chosen] = turned[better]
    rows = np.flatnonzero(likeness >= HOPEFUL)
    if rows.size:
        moving = both[mirrored[rows], rows]
        best[rows] = _refine(one[rows], moving, best[rows], FINE_STEPS)
        likeness[rows] = _likeness(one[rows], moving, best[rows])
    still = np.abs(best - _maps(1.0, 0.0)).max(axis=(1, 2)) < 1.5 / GREY
    return Registered(likeness, still & (mirrored == 0), mirrored == 1)


def _halved(grey: Numbers) -> Numbers:
    count, height, width = grey.shape
    halves = grey.reshape(count, height // 2, 2, width // 2, 2).mean(axis=(2, 4))
    return np.asarray(halves, np.float32)


def _maps(scale: float, degrees: float) -> Map:
    angle = np.deg2rad(degrees)
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[cos, -sin, 0], [sin, cos, 0]], np.float32)


def _coarse(one: Numbers, other: Numbers) -> tuple[Map, Numbers]:
    """For each scale and turn the best shift: maps [K, 2 S, 2, 3] and correlations [K, 2 S].

    The second half is of the mirrored ``other``. It needs no samples of its own: turned one way it
    is the mirror image of ``other`` turned the other way, and to mirror ``one`` says the same.
    """
    fixed = [np.conj(_spectrum(_standard(each))) for each in (one, one[:, :, ::-1])]
    found: tuple[list[Map], list[Map]] = ([], [])
    scores: tuple[list[Numbers], list[Numbers]] = ([], [])
    for scale in SCALES:
        for turn in TURNS:
            spectrum = _spectrum(_standard(*_sample(other, _maps(scale, turn)[None])))
            for mirrored, sign in enumerate((1, -1)):
                shift, score = _best_shift(fixed[mirrored] * spectrum)
                linear = _maps(scale, sign * turn)[:, :2]
                moved_by = (shift * np.array([sign, 1], np.float32)) @ linear.T
                whole = np.broadcast_to(linear, (len(one), 2, 2))
                found[mirrored].append(np.concatenate([whole, moved_by[:, :, None]], axis=2))
                scores[mirrored].append(score)
    return np.stack([*found[0], *found[1]], axis=1), np.stack([*scores[0], *scores[1]], axis=1)


def _spectrum(grey: Numbers) -> NDArray[np.complex64]:
    """Of ``grey`` [K, S, S] with as much again of nothing, so that shifts do not wrap."""
    side = grey.shape[1]
    return np.fft.rfft2(grey, (2 * side, 2 * side)).astype(np.complex64, copy=False)


def _best_shift(product: NDArray[np.complex64]) -> tuple[Numbers, Numbers]:
    """The shift [K, 2] across and down, -1 to 1, of the highest correlation, and that one [K]."""
    count, whole = product.shape[:2]
    peaks = np.fft.irfft2(product, (whole, whole)).reshape(count, -1)
    top = peaks.argmax(axis=1)
    down, across = np.divmod(top, whole)
    shift = np.stack([across, down], axis=1).astype(np.float32)
    shift = np.where(shift >= whole // 2, shift - whole, shift) * np.float32(4 / whole)
    return shift.astype(np.float32), peaks[np.arange(count), top].astype(np.float32)


def _standard(grey: Numbers, inside: NDArray[np.bool_] | None = None) -> Numbers:
    """Of mean 0 and length 1 over what is ``inside``; 0 elsewhere."""
    weights = np.ones(grey.shape, np.float32) if inside is None else inside.astype(np.float32)
    total = np.maximum(weights.sum(axis=(1, 2), keepdims=True), 1)
    mean = (grey * weights).sum(axis=(1, 2), keepdims=True) / total
    centred = (grey - mean) * weights
    length = np.sqrt((centred**2).sum(axis=(1, 2), keepdims=True))
    return np.asarray(centred / np.maximum(length, 1e-6), np.float32)


def _sample(grey: Numbers, maps: Map) -> tuple[Numbers, NDArray[np.bool_]]:
    """``grey`` [K, S, S] at the mapped points of a grid of S x S, and which of them are inside.

    ``maps`` has one map for each, or one for all.
    """
    count, side = len(grey), grey.shape[1]
    x, y = _points(side)
    flat = np.stack([x, y, np.ones_like(x)])  # [3, P]
    at = (maps @ flat + 1) * (side / 2) - 0.5  # [K, 2, P] in pixels
    inside = ((at > -0.5) & (at < side - 0.5)).all(axis=1)
    at = np.clip(at, 0, np.float32(side - 1.001))
    low = at.astype(np.int64)
    part = at - low
    right, below = part[:, 0], part[:, 1]
    first = low[:, 1] * side + low[:, 0] + (np.arange(count) * side * side)[:, None]
    pixels = np.ascontiguousarray(grey).reshape(-1)
    left, corner = pixels.take(first), pixels.take(first + side)
    top = left + (pixels.take(first + 1) - left) * right
    bottom = corner + (pixels.take(first + side + 1) - corner) * right
    sampled = top + (bottom - top) * below
    shape = (count, side, side)
    return np.asarray(sampled.reshape(shape), np.float32), inside.reshape(-1, side, side)


def _points(side: int) -> tuple[Numbers, Numbers]:
    line = (np.arange(side, dtype=np.float32) + 0.5) * (2 / side) - 1
    y, x = np.meshgrid(line, line, indexing="ij")
    return x.ravel(), y.ravel()


def _refine(one: Numbers, other: Numbers, maps: Map, steps: int) -> Map:
    """Gauss-Newton steps on the six numbers of each map; a step that fails changes nothing."""
    count, side = len(one), one.shape[1]
    x, y = _points(side)
    basis = np.stack([x, y, np.ones_like(x)])  # [3, P]
    for _ in range(steps):
        moved, inside = _sample(other, maps)
        weights = inside.reshape(count, -1)
        still = _standard(one, inside).reshape(count, -1)
        gone = _standard(moved, inside)
        # along x and y of the one image: for small turns the other's axes point the same way
        slope_y, slope_x = np.gradient(gone, 2 / side, axis=(1, 2))
        slopes = np.stack([slope_x, slope_y], axis=1).reshape(count, 2, -1) * weights[:, None]
        jacobian = (slopes[:, :, None] * basis).reshape(count, 6, -1)
        error = still - gone.reshape(count, -1)
        normal = jacobian @ jacobian.transpose(0, 2, 1)
        trace = np.trace(normal, axis1=1, axis2=2)
        normal += (1e-4 * trace + 1e-9)[:, None, None] * np.eye(6, dtype=np.float32)
        step = np.linalg.solve(normal, jacobian @ error[:, :, None])[:, :, 0]
        step = np.clip(step, -0.15, 0.15).reshape(count, 2, 3)
        # p -> M(p + step(p)): the step is taken in the one image's own coordinates
        linear = maps[:, :, :2]
        maps = np.asarray(maps + linear @ step, np.float32)
    return maps


def _likeness(one: Numbers, other: Numbers, maps: Map) -> Numbers:
    """The smaller correlation [K] of greys and of detail; -1 where the two hardly overlap."""
    moved, inside = _sample(other, maps)
    greys = (_standard(one, inside) * _standard(moved, inside)).sum(axis=(1, 2))
    detail = (_standard(_detail(one), inside) * _standard(_detail(moved), inside)).sum(axis=(1, 2))
    enough = inside.mean(axis=(1, 2)) >= LEAST_OVERLAP
    return np.where(enough, np.minimum(greys, detail), np.float32(-1)).astype(np.float32)


def _detail(grey: Numbers) -> Numbers:
    """Each pixel less the mean of the 5 x 5 around it."""
    padded = np.pad(grey, ((0, 0), (3, 2), (3, 2)), mode="edge")
    sums = padded.cumsum(axis=1).cumsum(axis=2)
    around = sums[:, 5:, 5:] - sums[:, :-5, 5:] - sums[:, 5:, :-5] + sums[:, :-5, :-5]
    return np.asarray(grey - around / 25, np.float32)
