"""The decoder reads a JPEG where it lies, in one call or in pieces, with the same pixels."""

import io
import sys
import threading

import numpy as np
import pytest
from conformance.jpegs import APP1, segment, with_segments
from PIL import Image, JpegImagePlugin

from greengrocer.errors import UnreadableImage
from greengrocer.imaging import decode as decoding
from greengrocer.imaging.colour import upright_rgb
from greengrocer.imaging.cost import jpeg_seconds
from greengrocer.imaging.decode import decode
from greengrocer.imaging.exif import UPRIGHT
from support.make_images import encoded, noise, photo
from support.orientation import stored

TARGETS = [None, (500, 400), (130, 90), (60, 60), (16, 16)]
SIZE = (611, 467)  # no side is a multiple of the decoder's blocks
KINDS: dict[str, tuple[str, dict[str, object]]] = {
    "baseline": ("RGB", {}),
    "no subsampling": ("RGB", {"subsampling": 0, "quality": 97}),
    "half subsampling": ("RGB", {"subsampling": 1}),
    "progressive": ("RGB", {"progressive": True}),
    "restart markers": ("RGB", {"restart_marker_blocks": 3}),
    "grey": ("L", {}),
    "progressive grey": ("L", {"progressive": True}),
    "CMYK": ("CMYK", {}),
    "RGB without conversion": ("RGB", {"keep_rgb": True}),
}
PICTURE = Image.blend(photo(3, SIZE), noise(SIZE), 0.2)
JPEGS = {name: encoded(PICTURE.convert(mode), "JPEG", **how) for name, (mode, how) in KINDS.items()}
SLOW = encoded(noise((2000, 1500)), "JPEG", quality=95, progressive=True)


def by_pillow(data: bytes, target: tuple[int, int] | None) -> Image.Image:
    image = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
    if target:
        image.draft(None, target)
    image.load()
    return upright_rgb(image, UPRIGHT, lambda: None)


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("name", JPEGS)
def test_the_pixels_are_those_of_pillow(
    name: str, at_once: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not at_once:
        monkeypatch.setattr(decoding, "AT_ONCE_SECONDS", 0)
    for target in TARGETS:
        expected = by_pillow(JPEGS[name], target)
        decoded = decode(JPEGS[name], target)
        assert decoded.size == expected.size
        assert decoded.tobytes() == expected.tobytes()


@pytest.mark.parametrize("orientation", [3, 6])
def test_a_turned_photo_has_the_scale_of_its_upright_size(orientation: int) -> None:
    picture, exif = stored(PICTURE, orientation)
    data = encoded(picture, "JPEG", exif=exif)
    target = (150, 60)
    scaled = by_pillow(data, target[::-1] if orientation == 6 else target)
    assert (
        decode(data, target).tobytes() == upright_rgb(scaled, orientation, lambda: None).tobytes()
    )


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_view_of_a_larger_buffer_is_decoded_as_its_bytes_are(kind: str) -> None:
    data = encoded(PICTURE, kind)
    buffer = bytearray(b"before" + data + b"after")
    view = memoryview(buffer)[6:-5]
    assert decode(view, (60, 60)).tobytes() == decode(data, (60, 60)).tobytes()
    assert decode(view.toreadonly()).tobytes() == decode(data).tobytes()
    view.release()
    buffer.clear()  # an image or a cache that keeps the view would forbid this


def test_the_decoder_runs_without_the_interpreters_lock() -> None:
    """Another thread runs while one is within the decoder's call: no thread is interrupted here."""
    data = encoded(noise((3000, 2000)), "JPEG", quality=90)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    try:
        assert any(_checks_before_another_thread_ran(data) == 2 for _ in range(20))
    finally:
        sys.setswitchinterval(interval)


def _checks_before_another_thread_ran(data: bytes) -> int:
    """2: while the scans are decoded; 3: only afterwards, as on a machine that is busy."""
    begun = threading.Event()
    checks = 0

    def check() -> None:
        nonlocal checks
        checks += 1
        if checks == 2:
            begun.set()

    thread = threading.Thread(target=decode, args=(data,), kwargs={"check": check})
    thread.start()
    begun.wait()
    found = checks
    thread.join()
    return found


def test_a_jpeg_that_may_take_long_is_decoded_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1

    assert decode(SLOW, check=check).size == (2000, 1500)
    assert calls == 3
    monkeypatch.setattr(decoding, "AT_ONCE_SECONDS", jpeg_seconds(2000 * 1500, len(SLOW), 5))
    calls = 0
    assert decode(SLOW, check=check).size == (2000, 1500)
    assert calls > len(SLOW) >> 16


def test_a_header_that_fills_several_pieces_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "AT_ONCE_SECONDS", 0)
    table = JPEGS["baseline"].index(b"\xff\xdb")
    (length,) = JPEGS["baseline"][table + 3 : table + 4]
    content = JPEGS["baseline"][table + 4 : table + 2 + length]
    tables = [segment(b"\xff\xdb", content)] * 990
    many = with_segments(JPEGS["baseline"], segment(APP1, bytes(60_000)), *tables)
    assert decode(many).tobytes() == decode(JPEGS["baseline"]).tobytes()


@pytest.mark.parametrize(("place", "value"), [(0, 12), (5, 2)])
def test_samples_and_components_that_no_camera_writes_are_refused(place: int, value: int) -> None:
    data = bytearray(JPEGS["baseline"])
    frame = data.index(b"\xff\xc0") + 4
    data[frame + place] = value
    if place == 5:
        data[frame - 2 : frame] = (8 + 3 * value).to_bytes(2, "big")
        del data[frame + 6 + 3 * value : frame + 6 + 3 * 3]
    with pytest.raises(UnreadableImage, match="send one that has 1, 3 or 4 of 8 bits"):
        decode(bytes(data))


def test_a_second_frame_header_is_refused() -> None:
    data = JPEGS["baseline"]
    frame = data.index(b"\xff\xc0")
    length = int.from_bytes(data[frame + 2 : frame + 4], "big")
    lying = np.frombuffer(data[frame : frame + 2 + length], np.uint8).copy()
    lying[5:9] = 255
    with pytest.raises(UnreadableImage, match="damaged"):
        decode(data[: frame + 2 + length] + lying.tobytes() + data[frame + 2 + length :])
