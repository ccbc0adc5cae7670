"""Images that teach little or the wrong thing, and classes that are all one scene."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from greengrocer.datachecks.findings import Flaw, FlawKind, OneScene
from greengrocer.datachecks.groups import Groups
from greengrocer.datachecks.neighbours import centred_unit
from greengrocer.datachecks.thumbnails import Numbers, Thumbnails
from greengrocer.datasets.dataset import LabelledImage
from greengrocer.engines.engine import Floats
from greengrocer.safe_text import one_line

TINY = 64  # pixels of the shorter side
PLAIN = 5.0  # levels of 255 within which 97 % of a plain image lie, on either side of its middle
DARK = 60  # level of 255 that 98 % of a dark image are under
BLURRED = 0.62  # by Crete et al.; a photo out of focus has 0.6 and more
OUTLYING = 9.0  # robust standard deviations
FEWEST = 5  # images of a class in which one can be odd


def find_flaws(
    images: Sequence[LabelledImage], features: Floats, thumbnails: Thumbnails
) -> tuple[Flaw, ...]:
    """The flaws, by kind and the worst first; an image has at most one. ``features`` [N, D]."""
    pixels = _pixel_flaws(images, thumbnails)
    seen = {flaw.path for flaw in pixels}
    odd = [flaw for flaw in find_odd(images, features) if flaw.path not in seen]
    order = list(FlawKind)
    found = [*pixels, *odd]
    found.sort(key=lambda each: (order.index(each.kind), -each.score, str(each.path)))
    return tuple(found)


def _pixel_flaws(images: Sequence[LabelledImage], thumbnails: Thumbnails) -> list[Flaw]:
    limit = _blur_limit(thumbnails.blur)
    found = []
    for index, image in enumerate(images):
        width, height = (int(side) for side in thumbnails.sizes[index])
        low, high = np.quantile(thumbnails.grey[index], (0.01, 0.98))
        blurred = float(thumbnails.blur[index])
        if min(width, height) < TINY:
            reason = f"only {width} x {height} pixels: use a larger version of it"
            found.append(Flaw(image.path, FlawKind.TINY, TINY / max(min(width, height), 1), reason))
        elif high - low <= 2 * PLAIN:
            reason = "nearly one colour all over: it shows nothing"
            found.append(Flaw(image.path, FlawKind.UNIFORM, float(255 - high + low), reason))
        elif high < DARK:
            reason = f"dark: almost all of it is below {high / 2.55:.0f} % of white"
            found.append(Flaw(image.path, FlawKind.DARK, float(255 - high), reason))
        elif blurred > limit:
            reason = "blurred: it has no fine detail, and much less than the others here"
            found.append(Flaw(image.path, FlawKind.BLURRED, blurred, reason))
    return found


def _blur_limit(blur: Numbers) -> float:
    """Blurred is what has less detail than a photo should, and than the folder's others have."""
    if not len(blur):
        return BLURRED
    middle = float(np.median(blur))
    spread = 1.4826 * float(np.median(np.abs(blur - middle)))
    return max(BLURRED, middle + 3 * spread)


def find_odd(images: Sequence[LabelledImage], features: Floats) -> list[Flaw]:
    """Images far from the others of their class, and from every other image as well.

    What is far from its class and near another one is a suspect of ``labels``, not odd.
    """
    unit = centred_unit(features)
    members: dict[int, list[int]] = defaultdict(list)
    for index, image in enumerate(images):
        members[image.label].append(index)
    sums = {label: unit[own].sum(axis=0) for label, own in members.items()}
    judged = [own for own in members.values() if len(own) >= FEWEST]
    if not judged:
        return []
    rows = np.concatenate(judged)
    centres = np.stack([sums[images[index].label] - unit[index] for index in rows])
    centres /= np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-6)
    own_class = (centres * unit[rows]).sum(axis=1)
    labels = np.array([images[index].label for index in rows])
    outlying = np.zeros(len(rows))
    middles = np.zeros(len(rows))
    for label in np.unique(labels):
        middles[labels == label] = np.median(own_class[labels == label])
    away = middles - own_class
    spread = 1.4826 * float(np.median(np.abs(away)))
    outlying = away / max(spread, 1e-3)
    means = np.stack([total / max(float(np.linalg.norm(total)), 1e-6) for total in sums.values()])
    anywhere = (unit[rows] @ means.T).max(axis=1)
    stranger = anywhere <= np.quantile(anywhere, 0.05)
    return [
        Flaw(
            images[rows[at]].path,
            FlawKind.ODD,
            float(outlying[at]),
            "unlike the others of its class and of any class: perhaps it shows something else",
        )
        for at in np.flatnonzero((outlying > OUTLYING) & stranger)
    ]


def find_one_scene(
    images: Sequence[LabelledImage], groups: Groups, classes: Sequence[str]
) -> tuple[OneScene, ...]:
    """Classes of two images or more that are one group: no other scene judges them."""
    members: dict[int, list[int]] = defaultdict(list)
    for index, image in enumerate(images):
        members[image.label].append(index)
    return tuple(
        OneScene(
            label,
            tuple(images[index].path for index in own),
            f"all {len(own)} images of {one_line(classes[label], 80)} show one scene, so its score "
            "flatters: add images from other places or days",
        )
        for label, own in sorted(members.items())
        if len(own) > 1 and len({groups.of[index] for index in own}) == 1
    )
