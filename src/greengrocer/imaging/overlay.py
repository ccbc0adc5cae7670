"""A map of evidence laid over its image: pure functions."""

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

Floats = npt.NDArray[np.float32]

# From nothing to the most: dark violet, magenta, orange, pale yellow. Lightness only rises, so
# that the order survives in grey and for colour-blind eyes.
_STOPS = np.array([0.0, 0.35, 0.7, 1.0])
_RAMP = np.array([(46, 16, 101), (190, 42, 114), (250, 132, 48), (255, 238, 160)], np.float64)

_OPACITY = 0.75  # of the hottest place: what lies below must stay recognisable
_FALL = 1.5  # how fast the opacity falls with the heat: weak evidence leaves the image alone
_COLOUR_KEPT = 0.4  # of the image's own, which would be taken for heat
_QUICK = 1  # zlib's level


def overlay(image: Image.Image, evidence: Floats) -> Image.Image:
    """The upright RGB ``image`` under a translucent heat map, at the image's own size.

    ``evidence`` is float [h, w], any h and w, in any unit: its rows and columns are spread evenly
    over the whole image, as ``geometry.fit`` squeezes it, and its range becomes the range of
    the colours. Evidence that is the same everywhere leaves no heat at all.
    """
    heat = _spread(evidence, image.size)
    colours = np.stack([np.interp(heat, _STOPS, channel) for channel in _RAMP.T], axis=-1)
    pixels = np.asarray(image, np.float64)
    grey = np.asarray(image.convert("L"), np.float64)[..., None]
    faded = grey + _COLOUR_KEPT * (pixels - grey)
    opacity = _OPACITY * heat[..., None] ** _FALL
    laid = (1 - opacity) * faded + opacity * colours
    return Image.fromarray(laid.round().astype(np.uint8))


def overlay_png(image: Image.Image, evidence: Floats) -> bytes:
    """The ``overlay`` as a PNG, compressed fast rather than small."""
    file = io.BytesIO()
    overlay(image, evidence).save(file, "PNG", compress_level=_QUICK)
    return file.getvalue()


def _spread(evidence: Floats, size: tuple[int, int]) -> npt.NDArray[np.float64]:
    """From 0 to 1, float [height, width], smooth between the map's positions."""
    low, high = float(evidence.min()), float(evidence.max())
    if high <= low:
        return np.zeros(size[::-1])
    scaled = ((evidence - low) / (high - low)).astype(np.float32)
    smooth = Image.fromarray(scaled).resize(size, Image.Resampling.BICUBIC)
    # Bicubic interpolation overshoots at steep places.
    return np.asarray(smooth, np.float64).clip(0, 1)
