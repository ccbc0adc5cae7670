"""Images are made smaller before they are sent, where that is wanted."""

import struct
import sys
from io import BytesIO

import pytest
from PIL import Image, ImageOps

from greengrocer.imaging.decode import decode
from greengrocer_client import ImageRefused
from greengrocer_client.scaling import encoded, smaller
from support.clients import AnyClient
from support.make_images import encoded as file_of
from support.make_images import jpeg, photo
from support.png import GREY, GREY_ALPHA, PALETTE, RGB, chunk, png
from support.replies import BODY, Reply, replying
from support.servers import Server

ORIENTATION = 0x112
MODES = ("1", "CMYK", "HSV", "I;16", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "YCbCr")


def words(*samples: int) -> bytes:
    """Samples of 16 bits."""
    return struct.pack(f">{len(samples)}H", *samples)


def opened(file: bytes) -> Image.Image:
    return Image.open(BytesIO(file))


def test_a_large_image_is_made_smaller_and_a_small_one_stays_as_it_is() -> None:
    large, small = (file_of(photo(1, size), "JPEG") for size in ((1200, 900), (320, 240)))
    assert opened(smaller(large, 400)).size == (400, 300)
    assert smaller(small, 400) is small
    assert smaller(small, 320) is small


def test_it_becomes_upright() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    image = photo(1, (1200, 900))
    turned = file_of(image, "JPEG", exif=exif, quality=95)
    found = opened(smaller(turned, 400))
    assert found.size == (300, 400)
    assert not found.getexif().get(ORIENTATION)
    upright = ImageOps.exif_transpose(opened(turned)).resize((300, 400))
    levels = [pixels.convert("L").resize((3, 4)).tobytes() for pixels in (found, upright)]
    assert all(abs(one - other) < 16 for one, other in zip(*levels, strict=True))


@pytest.mark.parametrize("mode", MODES)
def test_each_mode_of_pillow_can_be_sent(mode: str) -> None:
    image = photo(1, (120, 90)).convert("L").convert(mode if mode not in ("HSV", "PA") else "RGB")
    image = image.convert(mode)
    for side in (None, 60):
        found = opened(encoded(image, side))
        assert found.format in ("JPEG", "PNG")
        assert found.size == ((120, 90) if side is None else (60, 45))
        assert ("A" in found.getbands()) == ("A" in image.getbands())
    assert image.size == (120, 90)


TRANSPARENT = ("1", "L", "LA", "P", "RGB", "L of 4 bits", "L of 16 bits", "RGB of 16 bits")


def with_transparency(kind: str) -> bytes:
    """A PNG of 128 x 64, the left half of which is transparent and the right half is not."""
    rows = {
        "L": (8, GREY, bytes([40] * 64 + [200] * 64), 40),
        "1": (1, GREY, bytes(8) + b"\xff" * 8, 0),
        "L of 4 bits": (4, GREY, b"\x55" * 32 + b"\xaa" * 32, 5),
        "L of 16 bits": (16, GREY, words(*[0x1234] * 64, *[0x9000] * 64), 0x1234),
        "RGB": (8, RGB, bytes([1, 2, 3] * 64 + [9, 80, 7] * 64), (1, 2, 3)),
        "RGB of 16 bits": (16, RGB, words(*[257, 5, 7] * 64, *[9, 80, 7] * 64), (257, 5, 7)),
        "P": (8, PALETTE, bytes([0] * 64 + [1] * 64), None),
        "LA": (8, GREY_ALPHA, bytes([9, 0] * 64 + [60, 255] * 64), None),
    }
    depth, colour, row, clear = rows[kind]
    chunks = []
    if kind == "P":
        chunks = [chunk(b"PLTE", bytes([1, 2, 3, 200, 20, 2])), chunk(b"tRNS", bytes([0, 255]))]
    if clear is not None:
        chunks = [chunk(b"tRNS", words(*(clear if isinstance(clear, tuple) else (clear,))))]
    return png((128, 64), depth, colour, [row] * 64, *chunks)


def assert_same_halves(found: bytes, wanted: bytes) -> None:
    """That the service sees the same colours in the middle of both halves."""
    for place in (0.25, 0.75):
        seen = [decode(file) for file in (found, wanted)]
        one, other = (
            image.getpixel((int(place * image.width), image.height // 2)) for image in seen
        )
        assert isinstance(one, tuple)
        assert isinstance(other, tuple)
        assert all(abs(a - b) <= 2 for a, b in zip(one, other, strict=True)), (one, other)


@pytest.mark.parametrize("kind", TRANSPARENT)
def test_the_service_sees_the_transparency_of_the_original(kind: str) -> None:
    file = with_transparency(kind)
    assert decode(file).getpixel((32, 32)) == (255, 255, 255)
    small = smaller(file, 32)
    assert (small == file) == (kind in ("RGB of 16 bits", "L of 4 bits"))
    assert_same_halves(small, file)
    if small != file:
        assert opened(small).size == (32, 16)
        assert_same_halves(encoded(opened(file)), file)


@pytest.mark.parametrize("mode", ["I;16", "I"])  # Pillow opens a PNG in mode I before 11.3
def test_the_service_sees_the_grey_of_16_bits(mode: str) -> None:
    row = words(*[0x3000] * 64, *[0xC080] * 64)
    exif = Image.Exif()
    exif[ORIENTATION] = 2
    for turned in (b"", chunk(b"eXIf", exif.tobytes()[6:])):
        file = png((128, 64), 16, GREY, [row] * 64, *filter(None, [turned]))
        image = opened(file).convert(mode)
        image.format = "PNG"
        assert_same_halves(smaller(file, 32), file)
        assert_same_halves(encoded(image, 32), file)
        assert_same_halves(encoded(image), file)


@pytest.mark.parametrize("mode", ["F", "I"])
def test_numbers_of_an_unknown_range_are_refused(mode: str) -> None:
    for side in (None, 60):
        with pytest.raises(ValueError, match=f"mode {mode} does not say .* convert it to mode L"):
            encoded(photo(1, (120, 90)).convert("L").convert(mode), side)


def test_a_palette_becomes_smooth() -> None:
    image = photo(1).quantize(16)
    small = opened(smaller(file_of(image, "PNG"), 100)).convert("RGB")
    assert len(small.getcolors(10_000) or ()) > 100


@pytest.mark.parametrize("kind", ["BMP", "GIF", "TIFF"])
def test_a_format_that_the_service_does_not_take_is_refused_whatever_its_size(
    client_of: AnyClient, fake_server: Server, kind: str
) -> None:
    with client_of(fake_server.url, max_side=100) as client:
        for size in ((90, 60), (900, 600)):
            with pytest.raises(ImageRefused, match=kind) as refused:
                client.predict(file_of(photo(1, size), kind))
            assert refused.value.code == "unsupported-format"


@pytest.mark.parametrize("file", [b"no image", b"", jpeg(89, (900, 600))[:-400]])
def test_what_pillow_cannot_read_is_left_to_the_service(file: bytes) -> None:
    assert smaller(file, 100) is file


def test_both_clients_send_the_smaller_image(client_of: AnyClient) -> None:
    large = photo(1, (1200, 900))
    with replying(Reply(body=BODY)) as server, client_of(server.url, max_side=300) as client:
        client.predict(file_of(large, "JPEG"))
        client.predict(large)
        [_] = client.predict_many([large])
    assert [opened(each.body).size for each in server.sent] == [(300, 225)] * 3


def test_without_pillow_files_are_sent_and_the_rest_is_told(
    client_of: AnyClient, fake_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "PIL"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "greengrocer_client.scaling", raising=False)
    with client_of(fake_server.url) as client:
        with pytest.raises(ImageRefused):
            client.predict(b"no image")
        with pytest.raises(TypeError, match="not Image"):
            client.predict(photo(1))
    with pytest.raises(ImportError, match=r"pip install 'greengrocer-client\[pillow\]'"):
        client_of(fake_server.url, max_side=300)
