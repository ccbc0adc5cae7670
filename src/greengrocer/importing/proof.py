"""The proof of an import: probes answered by the source as its framework does it, and by us."""

import copy
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import onnx
from tqdm import tqdm

from greengrocer.engines.engine import Floats
from greengrocer.errors import UsageError
from greengrocer.imaging.fitted import decode_fitted
from greengrocer.imaging.geometry import Geometry
from greengrocer.importing.answers import answer_pixels, softmax
from greengrocer.importing.frameworks import normalise, prepare
from greengrocer.importing.graph import Array
from greengrocer.importing.photos import read_photo
from greengrocer.importing.preprocessing import Preprocessing
from greengrocer.importing.source import Source, run_session, two_sided

ALONE = 1e-4  # of a probability, for the same pixels
WHOLE = 1e-3  # of a probability, from the bytes of an image file
COARSE = 2e-2  # instead of both, where the source computes in float16 or JPEGs are scaled
LEAST = 1e-12
PROBES = 16

Probabilities = Callable[[bytes], Floats]  # an image file to [classes]

Image = TypeVar("Image")  # bytes, or pixels


class Row(NamedTuple):
    """One probe: the class that the source names, and the one that the bundle names.

    Then the largest difference of a probability: ``apart`` between the source behind its
    framework's preprocessing and our float graph, from the image file on; ``alone`` between both
    for the same pixels; ``by_float`` between the bundle as it serves and our float graph.
    """

    probe: str
    source: int
    bundle: int
    apart: float
    alone: float
    by_float: float


class Reference:
    """The unchanged graph behind its framework's preprocessing."""

    def __init__(
        self, source: Source, how: Preprocessing, size: tuple[int, int], gives_probabilities: bool
    ) -> None:
        self.source = source
        self.how = how
        self.size = size
        self.gives_probabilities = gives_probabilities
        self._session = source.session()

    def behind(self, how: Preprocessing) -> "Reference":
        """The same graph behind another preprocessing."""
        other = copy.copy(self)
        other.how = how
        return other

    def logits(self, data: bytes) -> Floats:
        """Logits [classes] of an image file."""
        return self._logits(prepare(data, self.how, self.size, self.source))

    def logits_of_pixels(self, pixels: Array) -> Floats:
        """Logits [classes] of pixels that are fitted already, uint8 [H, W, 3]."""
        return self._logits(normalise(pixels, self.how, self.source))

    def scores(self, prepared: Array) -> Floats:
        """The source's own output [classes]."""
        if self.source.batch is not None:
            prepared = np.repeat(prepared, self.source.batch, axis=0)
        feed = {self.source.input: prepared}
        what = str(self.source.path)
        (found,) = run_session(self._session, [self.source.output], feed, what)
        return np.asarray(two_sided(found)[0])

    def _logits(self, prepared: Array) -> Floats:
        scores = self.scores(prepared)
        if self.gives_probabilities:
            return np.asarray(np.log(np.maximum(scores, LEAST)), np.float32)
        return scores


def _shown(images: Sequence[Image], what: str) -> Iterable[Image]:
    """``images``, with progress where they take longer than a second."""
    return tqdm(images, what, unit="image", delay=1, leave=False)


def compare_alone(
    reference: Reference, graph: onnx.ModelProto, photos: Sequence[Array]
) -> list[float]:
    """The largest difference of a probability for each of ``photos`` uint8 [H, W, 3].

    ``graph`` is the raw graph, in float.
    """
    shown = _shown(photos, "comparing pixels")
    wanted = softmax(np.stack([reference.logits_of_pixels(photo) for photo in shown]))
    found = answer_pixels(graph, photos).softmax()
    return [float(each) for each in abs(wanted - found).max(axis=1)]


def prove(
    reference: Reference,
    graph: onnx.ModelProto,
    bundle: Probabilities,
    probes: Sequence[Path],
    geometry: Geometry,
    temperature: float,
) -> list[Row]:
    """Compare on ``probes``. ``graph`` is the raw graph in float, ``bundle`` what ships."""
    data = [read_photo(path) for path in probes]
    photos = [decode_fitted(each, geometry) for each in data]
    alone = compare_alone(reference, graph, photos)
    ours = answer_pixels(graph, photos)
    theirs = np.stack([reference.logits(each) for each in _shown(data, "answering as the source")])
    apart = abs(softmax(theirs) - ours.softmax()).max(axis=1)
    served = np.stack([bundle(each) for each in _shown(data, "answering as the bundle")])
    by_float = abs(served - ours.softmax(temperature)).max(axis=1)
    return [
        Row(
            path.name,
            int(theirs[k].argmax()),
            int(served[k].argmax()),
            float(apart[k]),
            alone[k],
            float(by_float[k]),
        )
        for k, path in enumerate(probes)
    ]


def check(rows: Sequence[Row], what: str, *, exact: bool, is_int8: bool) -> None:
    """Raise UsageError where an answer differs by more than its limit, or in its class.

    ``exact``: the source computes in float32, and whole images are decoded. What int8 changes was
    judged before.
    """
    alone, whole = (ALONE, WHOLE) if exact else (COARSE, COARSE)
    for row in rows:
        if row.alone > alone:
            raise UsageError(
                f"{what}: for the same pixels of {row.probe} the imported graph's probabilities "
                f"are {row.alone:.1e} off, over {alone:g}: nothing was written"
            )
        if row.apart > whole:
            raise UsageError(
                f"{what}: from the file of {row.probe} the probabilities are {row.apart:.1e} off, "
                f"over {whole:g}: nothing was written"
            )
        if not is_int8 and row.by_float > whole:
            raise UsageError(
                f"{what}: the bundle's answer for {row.probe} is {row.by_float:.1e} off that of "
                "its own graph: nothing was written"
            )
