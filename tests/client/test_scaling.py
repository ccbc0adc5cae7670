"""Images are made smaller before they are sent, where that is wanted."""

import sys
from io import BytesIO

import pytest
from PIL import Image, ImageOps

from greengrocer_client import ImageRefused
from greengrocer_client.scaling import encoded, smaller
from support.clients import AnyClient
from support.make_images import encoded as file_of
from support.make_images import jpeg, photo
from support.replies import BODY, Reply, replying
from support.servers import Server

ORIENTATION = 0x112
MODES = ("1", "CMYK", "HSV", "I;16", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "YCbCr", "F")


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


def test_a_palette_becomes_smooth() -> None:
    image = photo(1).quantize(16)
    small = opened(smaller(file_of(image, "PNG"), 100)).convert("RGB")
    assert len(small.getcolors(10_000) or ()) > 100


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
