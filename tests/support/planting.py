"""Faults planted into labelled photos: exact copies, altered copies and swapped labels."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

from greengrocer.datasets.dataset import LabelledImage
from support.make_images import encoded

ALTERATIONS = ("cropped", "encoded", "brightness", "turned", "flipped")


@dataclass(frozen=True)
class Planted:
    """The images with their faults. ``copies`` says which image each planted copy is of."""

    images: tuple[LabelledImage, ...]
    exact: dict[Path, Path]
    near: dict[Path, Path]
    swapped: frozenset[Path]

    @property
    def copies(self) -> dict[Path, Path]:
        return self.exact | self.near


def plant(pictures: Sequence[LabelledImage], directory: Path, seed: int, each: int = 40) -> Planted:
    """Plant ``each`` exact copies, altered copies and swapped labels, all of different images."""
    random = np.random.default_rng(seed)
    order = [int(index) for index in random.permutation(len(pictures))]
    images = [replace(p, digest=digest(p.path.read_bytes())) for p in pictures]
    exact: dict[Path, Path] = {}
    near: dict[Path, Path] = {}
    for place, index in enumerate(order[: 2 * each]):
        source = images[index]
        data = source.path.read_bytes()
        if place >= each:
            data = altered(source.path, random)
        path = directory / f"copy{place}.jpg"
        path.write_bytes(data)
        images.append(LabelledImage(path, source.label, digest(data)))
        (near if place >= each else exact)[path] = source.path
    swapped = _swap_labels(images, order[2 * each :], each)
    return Planted(tuple(images), exact, near, frozenset(swapped))


def _swap_labels(images: list[LabelledImage], free: list[int], count: int) -> set[Path]:
    found: set[Path] = set()
    while len(found) < count:
        one = free.pop(0)
        other = next(index for index in free if images[index].label != images[one].label)
        free.remove(other)
        first, second = images[one], images[other]
        images[one] = replace(first, label=second.label)
        images[other] = replace(second, label=first.label)
        found |= {first.path, second.path}
    return found


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def altered(path: Path, random: np.random.Generator, *kinds: str) -> bytes:
    """A JPEG of the photo changed in ``kinds``, or in one or two ways that ``random`` chooses."""
    with Image.open(path) as file:
        image = file.convert("RGB")
    chosen = kinds or random.choice(ALTERATIONS, int(random.integers(1, 3)), replace=False)
    quality = 90
    for kind in chosen:
        if kind == "cropped":
            image = _cropped(image, random)
        elif kind == "encoded":
            quality, scale = int(random.integers(25, 60)), random.uniform(0.4, 1)
            image = image.resize((int(image.width * scale), int(image.height * scale)))
        elif kind == "brightness":
            factor = random.choice([random.uniform(0.65, 0.85), random.uniform(1.15, 1.35)])
            image = ImageEnhance.Brightness(image).enhance(factor)
        elif kind == "turned":
            angle = random.uniform(2, 8) * random.choice([-1, 1])
            image = image.rotate(angle, Image.Resampling.BICUBIC, fillcolor=(128, 128, 128))
        else:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return encoded(image, "JPEG", quality=quality)


def _cropped(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Three quarters to nineteen twentieths of each side, from anywhere."""
    width = int(image.width * random.uniform(0.75, 0.95))
    height = int(image.height * random.uniform(0.75, 0.95))
    left = int(random.integers(0, image.width - width + 1))
    top = int(random.integers(0, image.height - height + 1))
    return image.crop((left, top, left + width, top + height))
