from pathlib import Path

import numpy as np
from PIL import Image
from tools.other_pictures import KINDS, draw_all

from greengrocer.imaging.geometry import Pixels


def drawn(folder: Path) -> dict[str, Pixels]:
    """The pictures below ``folder`` by their names there."""
    return {
        str(each.relative_to(folder)): np.asarray(Image.open(each))
        for each in folder.rglob("*.jpg")
    }


def test_the_same_pictures_are_drawn_again_and_no_two_are_alike(tmp_path: Path) -> None:
    for name in ("once", "again"):
        draw_all(tmp_path / name, each=2)
    once, again = drawn(tmp_path / "once"), drawn(tmp_path / "again")
    assert once.keys() == {f"{kind}/{k:03}.jpg" for kind in KINDS for k in range(2)}
    for name, pixels in once.items():
        assert np.array_equal(pixels, again[name])
        for other, others in once.items():
            far = np.abs(pixels.astype(float) - others).mean()
            assert (other == name) == (far < 5), (name, other)
