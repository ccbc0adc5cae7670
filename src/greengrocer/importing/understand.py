"""What a source is: its preprocessing, its ending, its body, checked against itself on pixels."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import onnx

from greengrocer.errors import UsageError
from greengrocer.imaging.geometry import Geometry
from greengrocer.importing.ending import Ending, find_ending
from greengrocer.importing.fold import Body, fold_input
from greengrocer.importing.head import Head, raw_graph
from greengrocer.importing.preprocessing import Preprocessing
from greengrocer.importing.proof import ALONE, Reference, compare_alone
from greengrocer.importing.source import Source

SUM = 1e-3  # how far from 1 probabilities may sum

Tell = Callable[[str], None]


class Understood(NamedTuple):
    """The source as it was understood, checked against itself on pixels."""

    source: Source
    how: Preprocessing
    geometry: Geometry
    ending: Ending
    body: Body
    head: Head
    reference: Reference

    def raw(self, body: Body | None = None) -> onnx.ModelProto:
        """Pixels to logits and features, by the float body or another."""
        return raw_graph(body or self.body, self.ending, self.head)


def understand(source: Source, how: Preprocessing, geometry: Geometry, tell: Tell) -> Understood:
    """The source with its preprocessing folded in, as much of its ending as proves true.

    Raises UsageError where not even its logits are those of the source.
    """
    size, ending = geometry.size, find_ending(source)
    gives = _gives_probabilities(source, how, size)
    reference = Reference(source, how, size, gives)
    random = np.random.default_rng(0)
    photos = [random.integers(0, 256, (size[1], size[0], 3), np.uint8) for _ in range(3)]
    attempts = [ending]
    if ending.places is not None:
        attempts.append(ending._replace(places=None, why="its map does not sum to the logits"))
    if ending.linear is not None:
        attempts.append(attempts[-1]._replace(linear=None, places=None))
    for attempt in attempts:
        body = fold_input(source, attempt, how, size)
        classes = source.classes or len(reference.logits_of_pixels(photos[0]))
        scores_are_probabilities = gives and not attempt.has_softmax
        evidence = attempt.places is not None
        head = Head(classes, scores_are_probabilities, evidence)
        found = Understood(source, how, geometry, attempt, body, head, reference)
        worst = max(compare_alone(reference, found.raw(), photos))
        if worst <= ALONE or source.type == np.float16:
            _tell(found, tell)
            return found
    raise UsageError(
        f"{source.path}: the graph with its preprocessing folded in is {worst:.1e} off, over "
        f"{ALONE:g}: does it answer the same image twice alike?"
    )


def _gives_probabilities(source: Source, how: Preprocessing, size: tuple[int, int]) -> bool:
    """Whether the source's own output is probabilities, by a few answers."""
    reference = Reference(source, how, size, gives_probabilities=False)
    random = np.random.default_rng(1)
    photos = [random.integers(0, 256, (size[1], size[0], 3), np.uint8) for _ in range(3)]
    scores = np.stack([reference.logits_of_pixels(each) for each in photos])
    if not np.isfinite(scores).all():
        raise UsageError(
            f"{source.path} answers with what is no number: are --mean and --std right?"
        )
    between = scores.min() >= 0 and scores.max() <= 1
    return bool(between and np.all(abs(scores.sum(axis=1) - 1) <= SUM))


def _tell(found: Understood, tell: Tell) -> None:
    source, how, geometry = found.source, found.how, found.geometry
    batch = "any number of images" if found.body.batch == "N" else "one image at a time"
    output = "probabilities" if found.reference.gives_probabilities else "logits"
    tell(f"graph: {source.layout}, {source.type}, {batch}; {found.head.classes} classes, {output}")
    cut = f", of {geometry.shorter_side} on its shorter side" if geometry.shorter_side else ""
    tell(
        f"images: {geometry.shape} to {geometry.width} x {geometry.height}{cut}, "
        f"{geometry.resample}{'' if geometry.antialias else ' without antialias'}; mean "
        f"{_numbers(how.mean)}, deviation {_numbers(how.std)} of 255"
        f"{', BGR' if how.bgr else ''} (from {how.origin})"
    )
    tell("evidence: yes" if found.head.evidence else f"evidence: none, since {found.ending.why}")


def _numbers(values: Sequence[float]) -> str:
    return " ".join(f"{value:.4g}" for value in dict.fromkeys(values))
