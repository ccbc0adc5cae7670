"""One training image, varied: crop, rotation, mirror, light, colour and wear."""

import io
import math

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from greengrocer.training.recipe import Augmentation


def augment(picture: Image.Image, how: Augmentation, random: np.random.Generator) -> Image.Image:
    """A varied square of ``how.image_size`` pixels cut from ``picture`` (mode RGB).

    All chance comes from ``random``, so an image's variant depends on nothing but its seed.
    """
    if how.rotation_degrees and random.random() < 0.5:
        angle = random.uniform(-how.rotation_degrees, how.rotation_degrees)
        picture = picture.rotate(angle, Image.Resampling.BILINEAR, fillcolor=(127, 127, 127))
    box = _crop_box(picture.size, how, random)
    picture = picture.resize((how.image_size, how.image_size), Image.Resampling.BILINEAR, box=box)
    if random.random() < how.hflip:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    for enhancer in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        picture = enhancer(picture).enhance(
            random.uniform(1 - how.color_jitter, 1 + how.color_jitter)
        )
    if random.random() < how.degrade_prob:
        picture = _degrade(picture, random)
    return picture


def _crop_box(
    size: tuple[int, int], how: Augmentation, random: np.random.Generator
) -> tuple[float, float, float, float]:
    """A box of random area and aspect, wholly inside the image; the image if none fits."""
    width, height = size
    for _ in range(10):
        area = random.uniform(*how.scale) * width * height
        aspect = math.exp(random.uniform(math.log(how.ratio[0]), math.log(how.ratio[1])))
        w, h = math.sqrt(area * aspect), math.sqrt(area / aspect)
        if w <= width and h <= height:
            x, y = random.uniform(0, width - w), random.uniform(0, height - h)
            return x, y, x + w, y + h
    return 0.0, 0.0, float(width), float(height)


def _degrade(picture: Image.Image, random: np.random.Generator) -> Image.Image:
    """Blur, sensor noise or a poor JPEG, as cheap cameras and chat programs leave behind."""
    kind = random.integers(3)
    if kind == 0:
        return picture.filter(ImageFilter.GaussianBlur(random.uniform(0.5, 2.0)))
    if kind == 1:
        pixels = np.asarray(picture, np.float32)
        noisy = pixels + random.normal(0, random.uniform(4, 20), pixels.shape)
        return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
    poor = io.BytesIO()
    picture.save(poor, "JPEG", quality=int(random.integers(15, 60)))
    return Image.open(poor).convert("RGB")
