from pathlib import Path

import pytest

from greengrocer.errors import DatasetUnusable, UnreadableImage
from greengrocer.evaluation.map_images import map_images


def test_results_are_in_the_order_of_the_paths(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in "cab"]
    for path in paths:
        path.write_bytes(path.name.encode())
    found = map_images(paths, lambda index, data: (index, data), 2, "read")
    assert found == [(0, b"c"), (1, b"a"), (2, b"b")]


def test_an_unreadable_or_refused_image_is_named(tmp_path: Path) -> None:
    def refuse(_: int, data: bytes) -> None:
        raise UnreadableImage(f"no image in {len(data)} bytes")

    path = tmp_path / "one.png"
    with pytest.raises(DatasetUnusable, match=r"one\.png: No such file"):
        map_images([path], refuse, 1, "read")
    path.write_bytes(b"123")
    with pytest.raises(DatasetUnusable, match=r"one\.png: no image in 3 bytes"):
        map_images([path], refuse, 1, "read")
