"""Damaged images by the thousand, each made from its name alone.

``python -m conformance.corpus FOLDER [IMAGE ...]`` writes the images of these names, or all crafted
ones, to be looked at.
"""

import random
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TypeAlias

from conformance import exif
from conformance.crafted import CRAFTED
from conformance.photos import encoded, photo

Damage: TypeAlias = Callable[[bytes, random.Random], bytes]
HEADER = 64  # bytes with most of the facts that decoders rely on
PICTURE = photo(9, (48, 32))

SOUND: dict[str, Callable[[], bytes]] = {
    "baseline": lambda: encoded(PICTURE, "JPEG", exif=exif.TURNED),
    "progressive": lambda: encoded(PICTURE, "JPEG", progressive=True, quality=40),
    "cmyk": lambda: encoded(PICTURE.convert("CMYK"), "JPEG"),
    "rgb": lambda: encoded(PICTURE, "PNG", exif=exif.TURNED),
    "palette": lambda: encoded(PICTURE.quantize(8), "PNG", transparency=1),
    "grey": lambda: encoded(PICTURE.convert("L"), "PNG"),
    "lossy": lambda: encoded(PICTURE, "WEBP", exif=exif.TURNED),
    "lossless": lambda: encoded(PICTURE.convert("RGBA"), "WEBP", lossless=True),
    "animation": lambda: encoded(
        PICTURE, "WEBP", save_all=True, append_images=[photo(1, PICTURE.size)]
    ),
}


@cache
def sound(kind: str) -> bytes:
    """The undamaged image of this kind."""
    return SOUND[kind]()


def cut(image: bytes, chance: random.Random) -> bytes:
    """It ends too early."""
    return image[: chance.randrange(len(image))]


def flip(image: bytes, chance: random.Random) -> bytes:
    """One to twenty of its bits are wrong, anywhere."""
    damaged = bytearray(image)
    for _ in range(chance.randint(1, 20)):
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
    return bytes(damaged)


def flip_header(image: bytes, chance: random.Random) -> bytes:
    """A few of its first bytes are others."""
    damaged = bytearray(image)
    for _ in range(chance.randint(1, 4)):
        damaged[chance.randrange(min(HEADER, len(damaged)))] = chance.randrange(256)
    return bytes(damaged)


def splice(image: bytes, chance: random.Random) -> bytes:
    """A piece of it stands somewhere else, too, or is gone."""
    start, end, to = (chance.randrange(len(image)) for _ in range(3))
    piece = image[min(start, end) : max(start, end)]
    return image[:to] + piece + image[to + chance.choice((0, len(piece))) :]


def graft(image: bytes, chance: random.Random) -> bytes:
    """Its beginning goes on as another image."""
    other = sound(chance.choice(list(SOUND)))
    return image[: chance.randrange(len(image))] + other[chance.randrange(len(other)) :]


DAMAGES: dict[str, Damage] = {
    "cut": cut,
    "flip": flip,
    "flip-header": flip_header,
    "splice": splice,
    "graft": graft,
}


def damaged(name: str) -> bytes:
    """The image called ``name``: a kind, a damage and a seed, as ``lossy-flip_3``."""
    kind, _, damage = name.rpartition("_")[0].partition("-")
    return DAMAGES[damage](sound(kind), random.Random(name))


def names(kind: str, damage: str, seed: int, count: int) -> Iterator[str]:
    """The names of ``count`` damaged images; every ``seed`` makes others."""
    return (f"{kind}-{damage}_{seed}.{k}" for k in range(count))


def main(folder: str, *chosen: str) -> None:
    """Write images into ``folder``."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name in chosen or CRAFTED:
        content = CRAFTED[name].build() if name in CRAFTED else damaged(name)
        file = Path(folder) / name.replace(": ", "-").replace(" ", "_").replace("/", "_")
        file.write_bytes(content)


if __name__ == "__main__":
    main(*sys.argv[1:])
