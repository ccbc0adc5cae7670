"""A map of evidence laid over its image: pure functions."""

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

Floats = npt.NDArray[np.float32]
Box = tuple[float, float, float, float]

# From nothing to the most: dark violet, magenta, orange, pale yellow. Lightness only rises, so
# that the order survives in grey and for colour-blind eyes.
_STOPS = np.array([0.0, 0.35, 0.7, 1.0])
_RAMP = np.array([(46, 16, 101), (190, 42, 114), (250, 132, 48), (255, 238, 160)], np.float64)

_OPACITY = 0.75  # of the hottest place: what lies below must stay recognisable
_FALL = 1.5  # how fast the opacity falls with the heat: weak evidence leaves the image alone
_COLOUR_KEPT = 0.4  # of the image's own, which would be taken for heat
_QUICK = 1  # zlib's level


def overlay(image: Image.Image, evidence: Floats, box: Box | None = None) -> Image.Image:
    """The upright RGB ``image`` under a translucent heat map, at the image's own size.

    ``evidence`` is float [h, w], any h and w, in any unit: its rows and columns are spread evenly
    over ``box`` (left, top, right, bottom, in pixels of ``image``; None: all of it), which
    ``geometry.seen_box`` gives, and its range becomes the range of the colours. What lies outside
    was not seen and has no heat. Evidence that is the same everywhere leaves no heat at all.
    """
    heat = _placed(evidence, image.size, box)
    colours = np.stack([np.interp(heat, _STOPS, channel) for channel in _RAMP.T], axis=-1)
    pixels = np.asarray(image, np.float64)
    grey = np.asarray(image.convert("L"), np.float64)[..., None]
    faded = grey + _COLOUR_KEPT * (pixels - grey)
    opacity = _OPACITY * heat[..., None] ** _FALL
    laid = (1 - opacity) * faded + opacity * colours
    return Image.fromarray(laid.round().astype(np.uint8))


def overlay_png(image: Image.Image, evidence: Floats, box: Box | None = None) -> bytes:
    """The ``overlay`` as a PNG, compressed fast rather than small."""
    file = io.BytesIO()
    overlay(image, evidence, box).save(file, "PNG", compress_level=_QUICK)
    return file.getvalue()


def _placed(evidence: Floats, size: tuple[int, int], box: Box | None) -> npt.NDArray[np.float64]:
    """From 0 to 1, float [height, width]: the evidence in its box, and nothing outside."""
    if box is None or box == (0, 0, *size):
        return _spread(evidence, size)
    left, top, right, bottom = map(round, box)
    inner = _spread(evidence, (max(1, right - left), max(1, bottom - top)))
    heat = np.zeros(size[::-1])
    rows = slice(max(0, top), min(size[1], bottom))
    columns = slice(max(0, left), min(size[0], right))
    heat[rows, columns] = inner[rows.start - top : rows.stop - top, :][
        :, columns.start - left : columns.stop - left
    ]
    return heat


def _spread(evidence: Floats, size: tuple[int, int]) -> npt.NDArray[np.float64]:
    """From 0 to 1, float [height, width], smooth between the map's positions."""
    low, high = float(evidence.min()), float(evidence.max())
    if high <= low:
        return np.zeros(size[::-1])
    scaled = ((evidence - low) / (high - low)).astype(np.float32)
    smooth = Image.fromarray(scaled).resize(size, Image.Resampling.BICUBIC)
    # Bicubic interpolation overshoots at steep places.
    return np.asarray(smooth, np.float64).clip(0, 1)
