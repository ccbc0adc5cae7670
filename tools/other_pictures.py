"""Draw pictures of other things than a model knows, to judge its known score by.

    python -m tools.other_pictures --out DIR [--each N]

DIR gets a folder a kind: packages, documents, screens, textures, scenes and objects. Nothing is
fetched, and the same seed draws the same. ``greengrocer evaluate --unknown DIR`` takes it.
"""

import argparse
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter, ImageFont

SIDE = 448  # pixels
SEED = 11
SYLLABLES = ("ba", "ko", "mi", "lan", "tor", "ves", "ri", "quo", "den", "sul", "par", "ne", "ox")

Random = np.random.Generator
Colour = tuple[int, int, int]
Box = tuple[float, float, float, float]
Circle = tuple[float, float, float]  # x, y, radius


def main() -> None:
    """Draw all kinds."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--each", type=int, default=100, metavar="N", help="pictures of a kind")
    arguments = parser.parse_args()
    draw_all(arguments.out, arguments.each)


def draw_all(out: Path, each: int) -> None:
    """Draw as many pictures of each kind into ``out``, as 000.jpg and so on."""
    for number, (kind, draw) in enumerate(KINDS.items()):
        folder = out / kind
        folder.mkdir(parents=True, exist_ok=True)
        for k in range(each):
            random = np.random.default_rng((SEED, number, k))
            worn(draw(random), random).save(folder / f"{k:03}.jpg", quality=88)


def worn(picture: Image.Image, random: Random) -> Image.Image:
    """``picture`` as a camera might have taken it: turned, lit unevenly, blurred, noisy."""
    turned = picture.rotate(random.uniform(-8, 8), Image.Resampling.BICUBIC, fillcolor=(96, 92, 88))
    soft = turned.filter(ImageFilter.GaussianBlur(random.uniform(0.2, 1.4)))
    pixels = np.asarray(soft, np.float32)
    down, across = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    angle, depth = random.uniform(0, 2 * math.pi), random.uniform(0, 0.35)
    light = 1 + depth * (math.cos(angle) * across + math.sin(angle) * down)
    tint = random.uniform(0.9, 1.1, 3)
    noise = random.normal(0, random.uniform(1, 6), pixels.shape)
    lit = pixels * light[..., None] * tint + noise
    return Image.fromarray(lit.clip(0, 255).astype(np.uint8))


def packages(random: Random) -> Image.Image:
    """One to six boxes, cans, bottles or bags with a name, a picture and small print."""
    picture = scenes(random).filter(ImageFilter.GaussianBlur(6))
    draw = ImageDraw.Draw(picture)
    count = int(random.integers(1, 7))
    columns = math.ceil(math.sqrt(count))
    cell = SIDE / columns
    main = _colour(random)
    for k in range(count):
        left, top = cell * (k % columns), cell * (k // columns)
        wide, high = cell * random.uniform(0.45, 0.8), cell * random.uniform(0.7, 0.97)
        left += (cell - wide) / 2
        shade = main if random.random() < 0.5 else _colour(random)
        _package(draw, (left, top + cell - high, left + wide, top + cell), shade, random)
    return picture


def _package(draw: ImageDraw.ImageDraw, box: Box, shade: Colour, random: Random) -> None:
    left, top, right, bottom = box
    wide, high = right - left, bottom - top
    form = int(random.integers(3))
    if form == 0:  # a carton, its side in the shade
        draw.rectangle(box, shade)
        side = right - wide * random.uniform(0.08, 0.2)
        draw.rectangle((side, top, right, bottom), _darker(shade))
    elif form == 1:  # a can or a bottle
        neck = wide * random.uniform(0.1, 0.35)
        draw.rectangle((left + neck, top, right - neck, top + 0.3 * high), _darker(shade))
        draw.rounded_rectangle((left, top + 0.2 * high, right, bottom), wide / 5, shade)
    else:  # a bag with a seam
        draw.rounded_rectangle(box, wide / 8, shade)
        for seam in (top, bottom - high / 20):
            draw.rectangle((left, seam, right, seam + high / 20), _darker(shade))
    label = _colour(random)
    draw.rectangle(
        (left + wide / 12, top + 0.32 * high, right - wide / 6, top + 0.55 * high), label
    )
    inside = (left + wide / 8, top + 0.34 * high)
    _write(draw, inside, _word(random).upper(), wide / 6, _against(label))
    radius = min(wide, high) * random.uniform(0.1, 0.2)
    middle = (left + 0.45 * wide, top + 0.72 * high)
    _blob(draw, middle, radius, _colour(random), random)
    for line in range(3):
        place = (left + wide / 10, bottom - high * (0.13 - 0.04 * line))
        _write(draw, place, _text(random, 4), high / 32, _against(shade))


def documents(random: Random) -> Image.Image:
    """A printed page: a title, paragraphs, perhaps a table or a chart."""
    paper = int(random.integers(215, 256))
    picture = Image.new("RGB", (SIDE, SIDE), (paper, paper, int(paper * random.uniform(0.9, 1))))
    draw = ImageDraw.Draw(picture)
    ink = tuple(int(each) for each in random.integers(0, 70, 3))
    size = random.uniform(9, 18)
    _write(draw, (30, 20), _text(random, 3).title(), 2 * size, ink)
    y = 20 + 4 * size
    if random.random() < 0.5:
        for k in range(int(random.integers(4, 9))):
            high = random.uniform(10, 110)
            draw.rectangle((40 + 42 * k, y + 120 - high, 70 + 42 * k, y + 120), _colour(random))
        y += 140
    while y < SIDE - 2 * size:
        for _ in range(int(random.integers(2, 7))):
            _write(draw, (30, y), _text(random, 12), size, ink)
            y += 1.4 * size
        y += size
    return picture


def screens(random: Random) -> Image.Image:
    """A screen: windows with bars, buttons, lines of code or of a list."""
    picture = Image.new("RGB", (SIDE, SIDE), _colour(random))
    draw = ImageDraw.Draw(picture)
    dark = random.random() < 0.5
    ground, text = ((30, 32, 40), (210, 215, 220)) if dark else ((250, 250, 252), (40, 44, 52))
    for _ in range(int(random.integers(1, 4))):
        left, top = random.uniform(0, 150, 2)
        right, bottom = left + random.uniform(200, 300), top + random.uniform(200, 300)
        draw.rounded_rectangle((left, top, right, bottom), 6, ground)
        bar = _colour(random)
        draw.rectangle((left, top, right, top + 22), bar)
        _write(draw, (left + 8, top + 3), _text(random, 2), 13, _against(bar))
        y = top + 32
        while y < bottom - 30:
            indent = 12 * int(random.integers(0, 4))
            shade = _colour(random) if random.random() < 0.4 else text
            _write(draw, (left + 10 + indent, y), _text(random, 4), 11, shade)
            y += 17
        draw.rounded_rectangle((right - 80, bottom - 26, right - 8, bottom - 6), 5, bar)
    return picture


def textures(random: Random) -> Image.Image:
    """A plain surface: bricks, planks, cloth, clouds of noise or stripes."""
    first, second = np.array(_colour(random), float), np.array(_colour(random), float)
    down, across = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
    kind = int(random.integers(5))
    period = random.uniform(12, 70)
    if kind == 0:
        row = down // period
        mix = ((down % period < 3) | ((across + period * (row % 2)) % (2 * period) < 3)).astype(
            float
        )
    elif kind == 1:
        grain = _clouds(random, 5)
        mix = 0.5 + 0.5 * np.sin((across + 30 * grain) / period * 6 + 9 * grain)
    elif kind == 2:
        mix = (np.sin(across * 6 / period) * np.sin(down * 6 / period) + 1) / 2
    elif kind == 3:
        mix = _clouds(random, int(random.integers(3, 8)))
    else:
        angle = random.uniform(0, math.pi)
        turned = across * math.cos(angle) + down * math.sin(angle)
        mix = (turned % period < period / 2).astype(float)
    mix = mix + 0.15 * (_clouds(random, 6) - 0.5)
    pixels = first + (second - first) * mix[..., None]
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def scenes(random: Random) -> Image.Image:
    """Outdoors or indoors: sky or wall, ground or floor, hills, houses or furniture."""
    horizon = int(random.uniform(0.35, 0.7) * SIDE)
    upper, lower = np.array(_colour(random), float), np.array(_colour(random), float)
    pixels = np.empty((SIDE, SIDE, 3))
    pixels[:horizon] = upper * np.linspace(0.7, 1.1, horizon)[:, None, None]
    pixels[horizon:] = lower * np.linspace(0.6, 1.0, SIDE - horizon)[:, None, None]
    pixels += 30 * (_clouds(random, 5)[..., None] - 0.5)
    picture = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    for _ in range(int(random.integers(2, 8))):
        wide, high = random.uniform(30, 160), random.uniform(30, 200)
        left, shade = random.uniform(-20, SIDE), _colour(random)
        base = horizon + random.uniform(0, 90)
        if random.random() < 0.5:
            draw.rectangle((left, base - high, left + wide, base), shade)
            for window in np.arange(left + 8, left + wide - 12, 24):
                draw.rectangle((window, base - high + 10, window + 12, base - high + 28), "white")
        else:
            draw.polygon([(left, base), (left + wide / 2, base - high), (left + wide, base)], shade)
    return picture


def objects(random: Random) -> Image.Image:
    """One thing before a plain ground: a clock, a cup, a face, a car, a plant in a pot."""
    picture = textures(random).filter(ImageFilter.GaussianBlur(8))
    draw = ImageDraw.Draw(picture)
    x, y = random.uniform(150, 300, 2)
    r, shade = random.uniform(70, 140), _colour(random)
    draw.ellipse((x - r, y + 0.8 * r, x + r, y + 1.2 * r), (40, 40, 40))
    thing = (_clock, _cup, _face, _car, _plant)[int(random.integers(5))]
    thing(draw, (x, y, r), shade, random)
    return picture


def _clock(draw: ImageDraw.ImageDraw, at: Circle, shade: Colour, random: Random) -> None:
    x, y, r = at
    _disc(draw, at, shade)
    for angle in random.uniform(0, 6, 2):
        draw.line((x, y, x + 0.7 * r * math.cos(angle), y + 0.7 * r * math.sin(angle)), 0, 6)


def _cup(draw: ImageDraw.ImageDraw, at: Circle, shade: Colour, _random: Random) -> None:
    x, y, r = at
    draw.arc((x, y - r / 2, x + 1.5 * r, y + r / 2), 270, 90, _darker(shade), 14)
    draw.rectangle((x - 0.7 * r, y - r, x + 0.7 * r, y + r), shade)


def _face(draw: ImageDraw.ImageDraw, at: Circle, shade: Colour, _random: Random) -> None:
    x, y, r = at
    _disc(draw, at, shade)
    for eye in (x - r / 3, x + r / 3):
        draw.ellipse((eye - 9, y - r / 3, eye + 9, y - r / 6), _against(shade))
    draw.arc((x - r / 2, y - r / 3, x + r / 2, y + r / 2), 20, 160, _against(shade), 6)


def _car(draw: ImageDraw.ImageDraw, at: Circle, shade: Colour, _random: Random) -> None:
    x, y, r = at
    draw.rounded_rectangle((x - 1.3 * r, y - 0.2 * r, x + 1.3 * r, y + 0.6 * r), 20, shade)
    draw.rectangle((x - 0.7 * r, y - 0.7 * r, x + 0.7 * r, y - 0.2 * r), _darker(shade))
    for wheel in (x - 0.8 * r, x + 0.8 * r):
        _disc(draw, (wheel, y + 0.6 * r, 0.3 * r), (20, 20, 20))


def _plant(draw: ImageDraw.ImageDraw, at: Circle, shade: Colour, random: Random) -> None:
    x, y, r = at
    for angle in random.uniform(-2.6, -0.5, 14):
        tip = (x + 1.4 * r * math.cos(angle), y + 1.4 * r * math.sin(angle))
        draw.line((x, y, *tip), (30, int(random.integers(80, 150)), 40), 10)
    draw.polygon([(x - r / 2, y), (x + r / 2, y), (x + r / 3, y + r), (x - r / 3, y + r)], shade)


def _disc(draw: ImageDraw.ImageDraw, at: Circle, shade: Colour) -> None:
    x, y, r = at
    draw.ellipse((x - r, y - r, x + r, y + r), shade, _darker(shade), 6)


def _clouds(random: Random, octaves: int) -> npt.NDArray[np.float64]:
    """Smooth noise from 0 to 1, [SIDE, SIDE], of as many sizes as ``octaves``."""
    total = np.zeros((SIDE, SIDE))
    for octave in range(octaves):
        grid = random.random((2 ** (octave + 1),) * 2) * 255
        layer = Image.fromarray(grid.astype(np.uint8)).resize(
            (SIDE, SIDE), Image.Resampling.BICUBIC
        )
        total += np.asarray(layer, np.float64) / 255 / 2**octave
    return np.asarray(total / total.max())


def _blob(
    draw: ImageDraw.ImageDraw, middle: tuple[float, float], r: float, shade: Colour, random: Random
) -> None:
    x, y = middle
    corners = int(random.integers(3, 9))
    turn = random.uniform(0, 6)
    angles = [turn + 2 * math.pi * k / corners for k in range(corners)]
    draw.polygon([(x + r * math.cos(a), y + r * math.sin(a)) for a in angles], shade)


def _write(
    draw: ImageDraw.ImageDraw,
    place: tuple[float, float],
    text: str,
    size: float,
    shade: tuple[int, ...],
) -> None:
    draw.text(place, text, fill=shade, font=ImageFont.load_default(max(6.0, size)))


def _word(random: Random) -> str:
    return "".join(random.choice(SYLLABLES, int(random.integers(1, 4))))


def _text(random: Random, words: int) -> str:
    return " ".join(_word(random) for _ in range(words))


def _colour(random: Random) -> Colour:
    red, green, blue = (int(each) for each in random.integers(10, 246, 3))
    return red, green, blue


def _darker(shade: Colour) -> Colour:
    red, green, blue = (int(0.7 * each) for each in shade)
    return red, green, blue


def _against(shade: Colour) -> Colour:
    return (245, 245, 240) if sum(shade) < 380 else (20, 20, 24)


KINDS: Mapping[str, Callable[[Random], Image.Image]] = {
    draw.__name__: draw for draw in (packages, documents, screens, textures, scenes, objects)
}

if __name__ == "__main__":
    main()
