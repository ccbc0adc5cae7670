"""Whether the photos are answered as well as they could be: else a flag or the labels may be wrong.

The same graph answers some of the photos behind the other usual ways to prepare images. Wrong
labels show where the photos of each class get one answer, but another class's.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from greengrocer.datasets.dataset import LabelledImage
from greengrocer.figures.intervals import wilson
from greengrocer.figures.score import ClassIds
from greengrocer.importing.photos import read_pixels
from greengrocer.importing.preprocessing import PRESETS, WHITE, ZERO, Preprocessing
from greengrocer.importing.understand import Tell, Understood

PHOTOS = 60  # that are answered in each of the ways
FAR = 0.1  # share of the photos: nearer ways are not told apart


def tell_doubts(
    found: Understood, photos: Sequence[LabelledImage], classes: Sequence[str], tell: Tell
) -> None:
    """Say where another preprocessing, or other labels, would do surely better on ``photos``."""
    places = np.linspace(0, len(photos) - 1, min(PHOTOS, len(photos))).round().astype(int)
    sample = [photos[int(place)] for place in places]
    pixels = [read_pixels(photo.path, found.geometry) for photo in sample]
    truth = np.array([photo.label for photo in sample])

    def answered(how: Preprocessing) -> ClassIds:
        reference = found.reference.behind(how)
        return np.array([reference.logits_of_pixels(each).argmax() for each in pixels], np.int64)

    answers = answered(found.how)
    right = int((answers == truth).sum())
    tell(f"photos: {right} of {len(sample)} that judge are named right")
    if not _is_better(len(sample), right, len(sample)):
        return
    others = [(int((answered(how) == truth).sum()), flag) for flag, how in _others(found.how)]
    best, flag = max(others, key=lambda each: each[0])
    renamed = _renamed(answers, truth)
    if best >= renamed and _is_better(best, right, len(sample)):
        tell(f"warning: with {flag} {best} would be right: is the preprocessing as it was?")
    elif _is_better(renamed, right, len(sample)):
        name, instead = _example(answers, truth, classes)
        tell(
            f"warning: photos of {name!r} are named {instead!r}, and so on: are the labels in the "
            "order of the class ids?"
        )
    elif wilson(right, len(sample)).high < 0.5:
        tell(
            "warning: most photos are named wrong: were images prepared so when it was trained, "
            "and are the labels in the order of the class ids?"
        )


def _others(how: Preprocessing) -> Iterator[tuple[str, Preprocessing]]:
    """Other values of pixels and orders of channels, and the flags that ask for them."""
    seen = {(how.mean, how.std, how.bgr)}
    turned = "blue last, so without --bgr," if how.bgr else "--bgr"
    ways = [
        (turned, how.mean, how.std, not how.bgr),
        ("--mean 0 --std 1", ZERO, (WHITE, WHITE, WHITE), how.bgr),
    ]
    for name, preset in PRESETS.items():
        flag = f"the mean and deviation of --preset {name}"
        ways.append((flag, preset.mean, preset.std, preset.bgr))
    for flag, mean, std, bgr in ways:
        if (mean, std, bgr) not in seen:
            seen.add((mean, std, bgr))
            yield flag, replace(how, mean=mean, std=std, bgr=bgr)


def _is_better(other: int, right: int, count: int) -> bool:
    """Whether ``other`` photos of ``count`` are surely more than ``right`` ones, and by far."""
    return wilson(other, count).low > wilson(right, count).high and other - right > FAR * count


def _renamed(answers: ClassIds, truth: ClassIds) -> int:
    """How many photos would be right if each class were called as its photos mostly are.

    No two classes get one name.
    """
    pairs = Counter(zip(truth.tolist(), answers.tolist(), strict=True))
    right, classes, names = 0, set(), set()
    for (label, answer), count in pairs.most_common():
        if count > 1 and label not in classes and answer not in names:
            right += count
            classes.add(label)
            names.add(answer)
    return right


def _example(answers: ClassIds, truth: ClassIds, classes: Sequence[str]) -> tuple[str, str]:
    """The class whose photos most often get another one's name, and that name."""
    wrong = answers != truth
    pairs = Counter(zip(truth[wrong].tolist(), answers[wrong].tolist(), strict=True))
    ((label, answer), _) = pairs.most_common(1)[0]
    return classes[label], classes[answer]
