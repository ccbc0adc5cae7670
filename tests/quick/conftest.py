"""Folders of drawn photos that a quick head can tell apart."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from support.make_images import encoded, photo

TINTS = {
    "apple": (1.0, 0.3, 0.2),
    "lime": (0.4, 1.0, 0.3),
    "plum": (0.5, 0.2, 0.9),
    "quince": (1.0, 0.9, 0.2),
}
EACH = 8


def draw(directory: Path, names: list[str]) -> Path:
    """A folder a class, with images in a colour of its own."""
    for name in names:
        (directory / name).mkdir(parents=True)
        for seed in range(EACH):
            tint = np.array(TINTS[name])
            pixels = np.asarray(photo(sorted(TINTS).index(name) * 100 + seed, (96, 72))) * tint
            jpeg = encoded(Image.fromarray(pixels.astype(np.uint8)), "JPEG", quality=90)
            (directory / name / f"{seed}.jpg").write_bytes(jpeg)
    return directory


@pytest.fixture(scope="package")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight images of each of four classes."""
    return draw(tmp_path_factory.mktemp("photos") / "fruit", sorted(TINTS))
