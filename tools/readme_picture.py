"""Draw the README's picture: pictures of the gallery, each with the answer that it gets."""

import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from greengrocer.assemble import build_pipeline
from greengrocer.bundles.bundle import find_bundle, load_bundle
from greengrocer.context import Context
from greengrocer.datasets.gallery import built_in_gallery

OUT = Path("docs/pictures/answers.jpg")
COLUMNS, ROWS = 4, 2
SIDE, CAPTION, GAP = 240, 44, 12  # pixels
INK, PALE, PAPER = "#1d2b1f", "#5c6b5e", "#ffffff"


def main() -> None:
    """Classify the gallery, take the pictures that are named right, and draw them."""
    pipeline = build_pipeline(load_bundle(find_bundle("grocery")))
    sheet = Image.new(
        "RGB",
        (COLUMNS * (SIDE + GAP) + GAP, ROWS * (SIDE + CAPTION + GAP) + GAP),
        PAPER,
    )
    draw = ImageDraw.Draw(sheet)
    place = 0
    for shown in built_in_gallery().pictures:
        answer = pipeline.classify(shown.path.read_bytes(), Context())
        best = answer.top[0]
        if best.name != shown.true_class or not answer.known or place == COLUMNS * ROWS:
            continue
        x = GAP + place % COLUMNS * (SIDE + GAP)
        y = GAP + place // COLUMNS * (SIDE + CAPTION + GAP)
        with Image.open(shown.path) as picture:
            sheet.paste(picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS), (x, y))
        draw.text((x, y + SIDE + 6), best.name, INK, ImageFont.load_default(17))
        draw.text(
            (x, y + SIDE + 26), f"{best.confidence:.0%} sure", PALE, ImageFont.load_default(14)
        )
        place += 1
    sheet.save(OUT, quality=88)
    sys.stdout.write(f"{OUT}: {place} pictures\n")


if __name__ == "__main__":
    main()
