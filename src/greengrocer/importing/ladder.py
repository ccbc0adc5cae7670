"""int8 of an imported body, or as much of it as keeps the answers and is faster here."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from greengrocer.engines.engine import Floats
from greengrocer.errors import DatasetUnusable, UsageError
from greengrocer.graphs.quantisation_ladder import (
    LADDER,
    SENSITIVITY_IMAGES,
    Rung,
    Shipped,
    most_sensitive,
)
from greengrocer.imaging.geometry import Pixels
from greengrocer.importing.answers import Raw, answer_photos, answer_pixels
from greengrocer.importing.fold import Body
from greengrocer.importing.gate import MIN_SPEEDUP, Verdict, judge_int8, measure_speedup
from greengrocer.importing.photos import Photos, labels_of, read_pixels
from greengrocer.importing.quantise import Quantiser
from greengrocer.importing.understand import Tell, Understood

RANGES = 200  # photos that set int8's ranges


class Attempt(NamedTuple):
    """A rung that was tried; ``calibration_images`` set its ranges."""

    precision: Shipped
    calibration_images: int
    float_blocks: tuple[str, ...]
    verdict: Verdict

    def told(self) -> dict[str, Any]:
        """For the provenance; shares in percent, the gain in points."""
        found, speedup = self.verdict.comparison, self.verdict.speedup
        assert found is not None
        return {
            "precision": self.precision,
            "calibration_images": self.calibration_images,
            "float_blocks": list(self.float_blocks),
            "accepted": self.verdict.ships,
            "why": self.verdict.why,
            "images": found.pictures,
            "top1": found.int8_top1,
            "agreement": found.agreement,
            "gain": found.gain,
            "gain_low": found.gain_low,
            "gain_high": found.gain_high,
            "speedup": speedup,
        }


class Climbed(NamedTuple):
    """The body that ships, and why; all ``attempts``, that which ships included.

    ``judged`` is what int8 answers for the photos that judge, None where float32 ships.
    """

    body: Body
    precision: Shipped
    verdict: Verdict
    attempts: tuple[Attempt, ...] = ()
    judged: Raw | None = None


def climb(found: Understood, photos: Photos, in_float: Raw, tell: Tell) -> Climbed:
    """The first rung whose answers are near enough to those ``in_float``, and which is faster.

    It is float32 where there is none. A rung that is not faster ends the climb: those above it
    compute more in float.
    """
    attempts: list[Attempt] = []
    try:
        ladder = _Ladder(found, photos)
        for rung in LADDER[:-1]:
            if not ladder.is_new(rung):
                continue
            body, attempt, judged = ladder.attempt(rung, in_float)
            attempts.append(attempt)
            tell(_said(attempt))
            if attempt.verdict.ships:
                return Climbed(body, rung.precision, attempt.verdict, tuple(attempts), judged)
            if (attempt.verdict.speedup or 0) < MIN_SPEEDUP:
                break
    except UsageError as error:
        if isinstance(error, DatasetUnusable):
            raise
        return Climbed(found.body, "float32", Verdict(False, str(error)), tuple(attempts))
    return Climbed(found.body, "float32", attempts[-1].verdict, tuple(attempts))


class _Ladder:
    def __init__(self, found: Understood, photos: Photos) -> None:
        self._found, self._photos = found, photos
        order = np.random.default_rng(0).permutation(len(photos.fitting))
        self._paths = [photos.fitting[int(index)].path for index in order]
        self._quantiser = Quantiser(found.body)
        self._blocks = self._quantiser.blocks()
        self._errors: dict[str, float] | None = None

    def is_new(self, rung: Rung) -> bool:
        """Whether there are photos, or blocks, enough for another body than the rung below."""
        if rung.float_share:
            return len(self._blocks) > 1
        return rung.times_images <= 1 or len(self._paths) > RANGES

    def attempt(self, rung: Rung, in_float: Raw) -> tuple[Body, Attempt, Raw]:
        pixels = self._pixels(rung.times_images * RANGES)
        blocks = self._most_sensitive(rung.float_share) if rung.float_share else ()
        kept = [node for block in blocks for node in self._blocks[block]]
        self._logits(self._found.body, pixels)  # the quantiser runs it without a limit of time
        body = self._quantiser.quantise(pixels, kept)
        graph, judging = self._found.raw(body), self._photos.judging
        judged = answer_photos(graph, [each.path for each in judging], self._found.geometry)
        speedup = measure_speedup(self._found.raw(), graph)
        verdict = judge_int8(in_float.logits, judged.logits, labels_of(judging), speedup)
        return body, Attempt(rung.precision, len(pixels), blocks, verdict), judged

    def _most_sensitive(self, share: float) -> tuple[str, ...]:
        if self._errors is None:
            self._errors = self._block_errors(self._pixels(SENSITIVITY_IMAGES))
        return most_sensitive(self._errors, share)

    def _block_errors(self, pixels: Sequence[Pixels]) -> dict[str, float]:
        """What int8 in one block alone does to the logits, as the mean squared change."""
        expected = self._logits(self._found.body, pixels)
        errors = {}
        for block in tqdm(self._blocks, "comparing blocks", unit="block", delay=1, leave=False):
            others = [n for name, nodes in self._blocks.items() if name != block for n in nodes]
            found = self._logits(self._quantiser.quantise(pixels, others), pixels)
            errors[block] = float(((found - expected) ** 2).mean())
        return errors

    def _logits(self, body: Body, pixels: Sequence[Pixels]) -> Floats:
        return answer_pixels(self._found.raw(body), pixels).logits

    def _pixels(self, count: int) -> list[Pixels]:
        return [read_pixels(path, self._found.geometry) for path in self._paths[:count]]


def _said(attempt: Attempt) -> str:
    blocks = f", {', '.join(attempt.float_blocks)} in float" if attempt.float_blocks else ""
    return f"int8, ranges of {attempt.calibration_images} photos{blocks}: {attempt.verdict.why}"
