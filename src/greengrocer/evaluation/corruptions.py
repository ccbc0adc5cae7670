"""Seven corruptions of a photo, five severities each: pure functions on images.

The corruptions are our own, after the idea of ImageNet-C: Hendrycks and Dietterich, Benchmarking
Neural Network Robustness to Common Corruptions and Perturbations, ICLR 2019. None of their code is
used and most of our levels are milder than theirs: the figures do not compare with published ones.

The levels suit images of about 350 pixels a side. They were chosen by eye, before any model was
measured: severity 1 is just seen, at 3 one would rather take the photo again, yet a person names
what it shows at once, and at 5 a person hesitates.
"""

import io
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

SEVERITIES = (1, 2, 3, 4, 5)
SIDE = 350  # pixels of the shorter side that the parameters are meant for


@dataclass(frozen=True)
class Corruption:
    """One corruption: ``levels`` are its parameter at severities 1 to 5, in ``unit``.

    ``apply`` takes an RGB image, a level and a seed; it returns a new one of the same size.
    """

    title: str
    apply: Callable[[Image.Image, float, int], Image.Image]
    levels: tuple[float, float, float, float, float]
    unit: str


def corrupt(image: Image.Image, name: str, severity: int, seed: int) -> Image.Image:
    """The RGB ``image`` under ``CORRUPTIONS[name]`` at ``severity`` 1 to 5: same size and mode.

    The same ``seed`` gives the same pixels: noise is drawn from it, an even one brightens and
    turns anticlockwise, an odd one does the opposite. All severities of a seed go the same way.
    Raises KeyError for another name or severity.
    """
    corruption = CORRUPTIONS[name]
    level = dict(zip(SEVERITIES, corruption.levels, strict=True))[severity]
    return corruption.apply(image, level, seed)


def shrink(image: Image.Image) -> Image.Image:
    """An image whose shorter side is at most 350 pixels, as the parameters expect.

    A blur of three pixels, or their noise, would be lost in a photo of twelve megapixels.
    """
    factor = SIDE / min(image.size)
    return image if factor >= 1 else _scaled(image, factor)


def _noise(image: Image.Image, deviation: float, seed: int) -> Image.Image:
    """Gaussian noise in each channel of each pixel, as a sensor's in the dark."""
    pixels = _floats(image)
    drawn = np.random.default_rng(seed).standard_normal(pixels.shape, np.float32)
    return _image(pixels + deviation * drawn)


def _blur(image: Image.Image, deviation: float, seed: int) -> Image.Image:
    """A Gaussian blur, as of a lens out of focus."""
    del seed
    return image.filter(ImageFilter.GaussianBlur(deviation))


def _brightness(image: Image.Image, shift: float, seed: int) -> Image.Image:
    """Every pixel lighter or darker by a share of the whole range; what leaves it is cut off."""
    return _image(_floats(image) + 255 * _way(seed) * shift)


def _contrast(image: Image.Image, kept: float, seed: int) -> Image.Image:
    """Every pixel nearer to the image's mean grey, as in fog or behind a greasy lens."""
    del seed
    pixels = _floats(image)
    mean = pixels.mean()
    return _image(mean + kept * (pixels - mean))


def _jpeg(image: Image.Image, quality: float, seed: int) -> Image.Image:
    """Written as a poor JPEG and read again."""
    del seed
    file = io.BytesIO()
    image.save(file, "JPEG", quality=int(quality))
    return Image.open(file).convert("RGB")


def _downscaling(image: Image.Image, factor: float, seed: int) -> Image.Image:
    """Scaled down and up again, as a thumbnail that someone has enlarged."""
    del seed
    return _scaled(image, factor).resize(image.size, Image.Resampling.BICUBIC)


def _rotation(image: Image.Image, degrees: float, seed: int) -> Image.Image:
    """Turned about its centre; the corners show the image mirrored at its edges.

    Training turns images too, and fills the corners with grey: grey here would flatter.
    """
    width, height = image.size
    margin = math.ceil((math.hypot(width, height) - min(width, height)) / 2)
    around = np.pad(np.asarray(image), ((margin, margin), (margin, margin), (0, 0)), "symmetric")
    turned = Image.fromarray(around).rotate(_way(seed) * degrees, Image.Resampling.BILINEAR)
    return turned.crop((margin, margin, margin + width, margin + height))


CORRUPTIONS = {
    "noise": Corruption(
        "Noise", _noise, (8, 16, 28, 44, 64), "grey levels of 255, standard deviation"
    ),
    "blur": Corruption("Blur", _blur, (1, 2, 3, 4.5, 6.5), "pixels, standard deviation"),
    "brightness": Corruption(
        "Brightness", _brightness, (0.1, 0.2, 0.3, 0.4, 0.5), "of the range, up or down"
    ),
    "contrast": Corruption(
        "Contrast", _contrast, (0.7, 0.5, 0.35, 0.25, 0.15), "of the contrast kept"
    ),
    "jpeg": Corruption("JPEG quality", _jpeg, (40, 25, 17, 11, 7), "of libjpeg's 1 to 95"),
    "downscaling": Corruption(
        "Downscaling", _downscaling, (0.5, 0.4, 0.3, 0.22, 0.15), "of each side kept"
    ),
    "rotation": Corruption("Rotation", _rotation, (5, 10, 15, 25, 40), "degrees, either way"),
}


def _way(seed: int) -> int:
    """Up and anticlockwise for even seeds, down and clockwise for odd ones."""
    return -1 if seed % 2 else 1


def _scaled(image: Image.Image, factor: float) -> Image.Image:
    size = tuple(max(1, round(factor * side)) for side in image.size)
    return image.resize((size[0], size[1]), Image.Resampling.BOX)


def _floats(image: Image.Image) -> npt.NDArray[np.float32]:
    return np.asarray(image, np.float32)


def _image(pixels: npt.NDArray[np.float32]) -> Image.Image:
    return Image.fromarray(pixels.clip(0, 255).round().astype(np.uint8))
