"""A JPEG without its end marker is accepted only if all its pixels are there."""

import numpy as np
import pytest
from conformance.jpegs import APP1, SCAN, segment, with_segments
from PIL import Image

from greengrocer.errors import UnreadableImage
from greengrocer.imaging.decode import decode
from support.make_images import encoded, photo

TARGETS = [None, (24, 16)]


def noisy(seed: int, mode: str = "RGB") -> Image.Image:
    smooth = np.asarray(photo(seed, (250, 187))).astype(int)
    noise = np.random.default_rng(seed).integers(-30, 30, smooth.shape)
    return Image.fromarray((smooth + noise).clip(0, 255).astype(np.uint8)).convert(mode)


KINDS: dict[str, tuple[str, dict[str, object]]] = {
    "baseline": ("RGB", {}),
    "own tables": ("RGB", {"optimize": True}),
    "no subsampling": ("RGB", {"subsampling": 0, "quality": 95}),
    "progressive": ("RGB", {"progressive": True}),
    "progressive without subsampling": ("RGB", {"progressive": True, "subsampling": 0}),
    "restart markers": ("RGB", {"restart_marker_blocks": 3}),
    "a restart marker a row": ("RGB", {"restart_marker_rows": 1}),
    "progressive with restart markers": ("RGB", {"progressive": True, "restart_marker_blocks": 5}),
    "grey": ("L", {}),
    "progressive grey": ("L", {"progressive": True}),
    "CMYK": ("CMYK", {}),
}
JPEGS = {name: encoded(noisy(7, mode), "JPEG", **how) for name, (mode, how) in KINDS.items()}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", JPEGS)
def test_a_jpeg_without_its_end_marker_is_accepted_if_all_pixels_are_there(
    name: str, target: tuple[int, int] | None
) -> None:
    whole = JPEGS[name]
    assert whole.endswith(b"\xff\xd9")
    for cut in (whole[:-2], whole[:-1], whole[:-2] + b"\xff\xff\xff"):
        assert decode(cut, target).tobytes() == decode(whole, target).tobytes()


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", JPEGS)
def test_a_jpeg_with_missing_pixels_is_refused(name: str, target: tuple[int, int] | None) -> None:
    whole = JPEGS[name]
    scan = whole.index(SCAN)
    near = [len(whole) - missing for missing in (5, 6, 7, 8, 9, 10, 12, 16, 24, 32, 64, 128)]
    random = np.random.default_rng(1).integers(scan, len(whole) - 5, 30)
    for length in (*near, *map(int, random)):
        with pytest.raises(UnreadableImage):
            decode(whole[:length], target)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", [name for name in JPEGS if "progressive" in name])
def test_a_jpeg_truncated_between_two_scans_is_refused(
    name: str, target: tuple[int, int] | None
) -> None:
    """Every pixel is there, but coarse; a decoder would take it for the whole image."""
    whole = JPEGS[name]
    at = whole.index(SCAN)
    while (at := whole.find(SCAN, at + 1)) > 0:
        for length in (at, at + 1, at + 2, at + 6):
            with pytest.raises(UnreadableImage):
                decode(whole[:length], target)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", ["restart markers", "progressive with restart markers"])
def test_a_jpeg_truncated_at_any_restart_marker_is_refused(
    name: str, target: tuple[int, int] | None
) -> None:
    whole = JPEGS[name]
    markers = [whole.rfind(bytes([0xFF, 0xD0 + k]), 0, len(whole) - 40) for k in range(8)]
    for at in markers:
        for length in (at, at + 1, at + 2):
            with pytest.raises(UnreadableImage):
                decode(whole[:length], target)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", JPEGS)
def test_zeros_in_place_of_pixels_are_refused(name: str, target: tuple[int, int] | None) -> None:
    """A file whose size was set before its content came, and stopped coming."""
    whole = JPEGS[name]
    for missing in (10, 100, len(whole) // 3):
        with pytest.raises(UnreadableImage):
            decode(whole[:-missing] + bytes(max(missing, 50_000)), target)
    filled = whole[:-2] + bytes(100_000)
    assert decode(filled, target).tobytes() == decode(whole, target).tobytes()


@pytest.mark.parametrize("name", ["baseline", "progressive"])
def test_the_end_of_a_thumbnail_is_not_the_images(name: str) -> None:
    thumbnail = encoded(photo(1, (16, 16)), "JPEG")
    whole = with_segments(JPEGS[name], segment(APP1, b"Exif\0\0" + thumbnail))
    assert decode(whole[:-2]).tobytes() == decode(whole).tobytes()
    with pytest.raises(UnreadableImage):
        decode(whole[:-600])


@pytest.mark.parametrize("name", JPEGS)
def test_bytes_after_the_end_marker_are_ignored(name: str) -> None:
    whole = JPEGS[name]
    for behind in (bytes(100), bytes(100_000), JPEGS["grey"], JPEGS["grey"][:900]):
        assert decode(whole + behind).tobytes() == decode(whole).tobytes()
