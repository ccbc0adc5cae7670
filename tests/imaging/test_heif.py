"""HEIC and AVIF are decoded as they should be shown, or refused, under the usual limits."""

import random
import struct
import sys
import time

import numpy as np
import pytest
from PIL import Image

from greengrocer.errors import (
    BrokenExtra,
    ClientDisconnected,
    ImageRefused,
    ImageTooSlow,
    TooManyPixels,
    UnreadableImage,
    UnsupportedFormat,
)
from greengrocer.imaging import heif
from greengrocer.imaging.cost import heif_seconds
from greengrocer.imaging.decode import DecodeLimits, decode
from greengrocer.imaging.formats import Format, accepted, media_types, read_header
from greengrocer.imaging.heif import read_heif
from greengrocer.imaging.isobmff import Meta
from support.grids import Grid
from support.stills import (
    CORNERS,
    KINDS,
    SIZE,
    box,
    colours,
    deep,
    ftyp,
    quarters,
    resized,
    still,
)

# where the quarters are after EXIF's orientation of that number
TURNED = {
    1: ("red", "white", "white", "blue"),
    2: ("white", "red", "blue", "white"),
    3: ("blue", "white", "white", "red"),
    4: ("white", "blue", "red", "white"),
    5: ("red", "white", "white", "blue"),
    6: ("white", "red", "blue", "white"),
    7: ("blue", "white", "white", "red"),
    8: ("white", "blue", "red", "white"),
}


@pytest.fixture
def without_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heif, "is_installed", lambda: False)


@pytest.mark.parametrize("kind", KINDS)
def test_the_size_is_read_from_the_boxes_and_the_pixels_are_right(kind: str) -> None:
    data = still(kind)
    assert read_header(data) == (Format(kind), *SIZE)
    picture = decode(data)
    assert (picture.mode, picture.size, colours(picture)) == ("RGB", SIZE, [*CORNERS])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("orientation", TURNED)
def test_orientation_is_applied_once(kind: str, orientation: int) -> None:
    """Encoders write the turn both as properties and as EXIF, of which only those count."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = decode(still(kind, exif=exif.tobytes()))
    assert picture.size == (SIZE if orientation < 5 else SIZE[::-1])
    # a transposed image keeps red and blue in their corners
    assert tuple(colours(picture)) == TURNED[orientation]


def test_exif_orientation_alone_is_ignored() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = still("HEIC", exif=exif.tobytes())
    unturned = data.replace(b"irot", b"free").replace(b"imir", b"free")
    assert tuple(colours(decode(unturned))) == CORNERS


@pytest.mark.parametrize("kind", KINDS)
def test_transparency_is_blended_over_white(kind: str) -> None:
    picture = quarters().convert("RGBA")
    picture.putalpha(Image.new("L", SIZE, 0))
    assert colours(decode(still(kind, picture))) == ["white"] * 4
    half = Image.new("RGBA", SIZE, (0, 0, 0, 128))
    pixel = decode(still(kind, half)).getpixel((50, 50))
    assert isinstance(pixel, tuple)
    assert all(abs(value - 127) < 6 for value in pixel)


@pytest.mark.parametrize("kind", KINDS)
def test_grey_images_are_decoded(kind: str) -> None:
    picture = decode(still(kind, quarters().convert("L")))
    assert picture.mode == "RGB"


@pytest.mark.parametrize("bits", [10, 12])
def test_samples_of_more_than_8_bits_are_reduced_to_8(bits: int) -> None:
    assert tuple(colours(decode(deep(bits)))) == CORNERS


@pytest.mark.parametrize("size", [SIZE, (513, 1027)])
def test_a_grid_of_tiles_as_from_phones_is_decoded(size: tuple[int, int]) -> None:
    data = still("HEIC", quarters(size), tile_size=64)
    assert b"grid" in data
    assert read_header(data) == (Format.HEIC, *size)
    assert tuple(colours(decode(data))) == CORNERS


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("quality", [20, 50, 90])
def test_decoding_noise_takes_no_more_time_than_estimated(kind: str, quality: int) -> None:
    """A machine that is busy may take twice as long."""
    noise = np.random.default_rng(4).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    data = still(kind, Image.fromarray(noise), quality=quality)
    found = read_heif(data)
    heif.decode_heif(data, found, lambda: None)
    start = time.thread_time()
    heif.decode_heif(data, found, lambda: None)
    took = time.thread_time() - start
    counted = heif_seconds(found.coded_pixels, found.coded_bytes, deep=found.is_deep)
    assert took < 2 * counted + 0.05


def test_repeated_items_are_counted_each_time_they_are_decoded() -> None:
    grid = read_heif(Grid(4, shown=5).file())
    assert (grid.coded_pixels, grid.coded_bytes) == (20 * 64, 20 * 8)
    clear = read_heif(still("HEIC", quarters().convert("RGBA")))
    assert clear.coded_pixels > 1.9 * SIZE[0] * SIZE[1]
    assert read_heif(deep(10)).is_deep
    assert read_heif(deep(12)).is_deep
    assert not clear.is_deep
    assert not read_heif(still("AVIF")).is_deep
    with pytest.raises(ImageTooSlow):
        decode(still("HEIC"), limits=DecodeLimits(seconds=1e-4))


def test_a_photo_of_48_megapixels_is_within_the_budget() -> None:
    assert heif_seconds(48_800_000, 10_000_000, deep=False) < DecodeLimits().seconds


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_of_several_images_is_used(kind: str) -> None:
    others = [Image.new("RGB", SIZE, "black")] * 2
    data = still(kind, save_all=True, append_images=others)
    assert tuple(colours(decode(data))) == CORNERS


def test_thumbnails_are_ignored() -> None:
    data = still("HEIC", quarters((640, 480)), thumbnails=[128, 64])
    assert decode(data, (32, 32)).size == (640, 480)


@pytest.mark.parametrize("kind", KINDS)
def test_text_and_exif_never_reach_the_decoder(kind: str) -> None:
    exif = b"Exif\0\0" + b"MM\0*" + bytes(100_000)
    data = still(kind, exif=exif, xmp=b"<x>" + b" " * 100_000)
    handed = heif._alone(data, read_heif(data))
    assert len(handed) == len(data)
    assert {b"Exif", b"mime"} < {item.kind for item in Meta(data).items.values()}
    assert {item.kind for item in Meta(handed).items.values()} <= {b"hvc1", b"av01", b"skip"}
    assert tuple(colours(decode(data))) == CORNERS


def test_a_clean_aperture_is_cropped() -> None:
    """Pillow does not heed it, browsers and phones do."""
    clap = struct.pack(">8i", 100, 1, 60, 1, -50, 1, -30, 1)
    data = still("AVIF")
    # the colours' box makes room for it: nclx says what is assumed without it
    at = data.index(b"colr") - 4
    cut = data[:at] + box(b"clap", clap) + data[at + 19 :]
    grown = len(cut) - len(data)
    for kind in (b"meta", b"iprp", b"ipco"):
        start = data.index(kind) - 4
        cut = (
            cut[:start]
            + (int.from_bytes(data[start : start + 4], "big") + grown).to_bytes(4, "big")
            + cut[start + 4 :]
        )
    cut = cut.replace(b"\x01\x02\x83\x04", b"\x01\x02\x83\x84")  # it must be heeded
    place = cut.index(b"iloc") + 4 + 4 + 2 + 2 + 2 + 2 + 2
    offset = int.from_bytes(cut[place : place + 4], "big") + grown
    cut = cut[:place] + offset.to_bytes(4, "big") + cut[place + 4 :]
    assert read_header(cut) == (Format.AVIF, *SIZE)
    picture = decode(cut)
    assert picture.size == (100, 60)
    assert colours(picture) == ["red"] * 4


@pytest.mark.parametrize("kind", KINDS)
def test_too_many_pixels_are_refused_from_the_boxes_alone(kind: str) -> None:
    data = resized(still(kind), (60_000, 60_000))
    with pytest.raises(TooManyPixels, match="60000 x 60000"):
        decode(data)


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_that_is_larger_than_its_file_says_is_refused(kind: str) -> None:
    data = still(kind, Image.new("RGB", (2048, 2048), "red"))
    with pytest.raises(UnreadableImage):
        decode(resized(data, (64, 64)))


def test_a_grid_with_more_tiles_than_it_shows_is_refused() -> None:
    data = still("HEIC", quarters((1024, 1024)), tile_size=64)
    large = resized(data, (1024, 1024), 1)
    with pytest.raises(UnreadableImage, match="too many pixels for its size"):
        read_header(large)


def test_a_grid_has_the_size_that_it_declares() -> None:
    data = still("HEIC", quarters((1024, 1024)), tile_size=64)
    with pytest.raises(UnreadableImage, match="grid"):
        read_header(resized(data, (64, 64)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_of_many_images_is_refused(kind: str) -> None:
    """A decoder would work through all of them before it shows one."""
    data = still(kind)
    at = data.index(b"mdat") + 4
    stream = data[at:]
    place = data.index(b"iloc")
    sized = data.index(struct.pack(">I", len(stream)), place)
    many = data[:sized] + struct.pack(">I", 100 * len(stream)) + data[sized + 4 : at]
    with pytest.raises(UnreadableImage, match=r"there must be one|two sequence headers"):
        decode(many + 100 * stream)


@pytest.mark.parametrize("kind", KINDS)
def test_a_truncated_file_is_refused(kind: str) -> None:
    for data in (still(kind), still(kind, quarters((640, 480)), quality=100)):
        for length in [*range(8, min(len(data), 700), 7), len(data) - 1]:
            with pytest.raises(ImageRefused):
                decode(data[:length])


@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_file_is_decoded_or_refused(kind: str) -> None:
    chance = random.Random(5)
    limits = DecodeLimits(pixels=1_000_000)
    seeds = [still(kind), still(kind, quarters().convert("RGBA"))]
    seeds += [still(kind, tile_size=64)] if kind == "HEIC" else []
    for _ in range(1500):
        data = bytearray(chance.choice(seeds))
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(8, len(data))] = chance.choice(
                (0, 1, 127, 255, chance.getrandbits(8))
            )
        try:
            picture = decode(bytes(data), (8, 8), limits)
        except ImageRefused as refusal:
            lines = str(refusal).splitlines()
        else:
            lines = [picture.mode]
            assert picture.width * picture.height <= limits.pixels
        assert len(lines) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_decoding_can_be_stopped_between_steps(kind: str) -> None:
    def stop() -> None:
        raise ClientDisconnected("gone")

    with pytest.raises(ClientDisconnected):
        decode(still(kind), check=stop)


BRANDS = {
    "HEIC": [b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs"],
    "AVIF": [b"avif", b"avis", b"avio"],
}
NAMED = [
    *[(ftyp(brand), name) for name, brands in BRANDS.items() for brand in brands],
    *[
        (ftyp(major, b"miaf", brand, minor=7), name)
        for name, brands in BRANDS.items()
        for brand in brands
        for major in (b"mif1", b"msf1", b"XXXX")
    ],
    (ftyp(b"mif1", *[b"abcd"] * 500, b"heix"), "HEIC"),
    (b"\0\0\0\1ftyp\0\0\0\0\0\0\0\x1cmif1\0\0\0\0avif", "AVIF"),
    (ftyp(b"mif1"), "HEIF"),
    (ftyp(b"msf1", b"iso8"), "HEIF"),
    (ftyp(b"isom", b"mp41", b"avc1"), "video"),
    (ftyp(b"mp42", b"mif1"), "video"),
    (ftyp(b"qt  "), "QuickTime"),
    (ftyp(b"3gp5"), "video"),
]


@pytest.mark.usefixtures("without_extra")
@pytest.mark.parametrize(("data", "name"), NAMED)
def test_without_the_extra_every_brand_is_refused_and_named(data: bytes, name: str) -> None:
    with pytest.raises(UnsupportedFormat, match=f"{name}.*: send JPEG, PNG or WebP$") as refused:
        read_header(data)
    assert ("greengrocer[heif]" in str(refused.value)) == (name in ("HEIC", "AVIF", "HEIF"))


@pytest.mark.usefixtures("without_extra")
def test_the_accepted_formats_depend_on_the_installed_extra() -> None:
    assert accepted() == "JPEG, PNG or WebP"
    assert media_types() == ("image/jpeg", "image/png", "image/webp")


def test_with_the_extra_all_formats_are_accepted() -> None:
    assert accepted() == "JPEG, PNG, WebP, HEIC or AVIF"
    assert media_types()[3:] == ("image/heic", "image/heif", "image/avif")


@pytest.mark.parametrize("kind", KINDS)
def test_the_format_is_that_of_the_image_not_of_the_brand(kind: str) -> None:
    data = still(kind)
    brand = data[8:12]
    generic = data[:8] + b"mif1" + data[12:]
    assert brand in generic[:40]  # among the compatible ones
    assert read_header(generic).format is Format(kind)
    assert tuple(colours(decode(generic))) == CORNERS


def test_a_video_is_refused_as_a_video_with_the_extra_too() -> None:
    with pytest.raises(UnsupportedFormat, match="video"):
        read_header(ftyp(b"isom") + bytes(100))


def test_an_unsupported_codec_is_named() -> None:
    with pytest.raises(UnsupportedFormat, match="vvc1"):
        read_header(still("HEIC").replace(b"hvc1", b"vvc1"))


def test_a_broken_installation_is_an_error_of_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    heif._load.cache_clear()
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(BrokenExtra, match="greengrocer\\[heif\\]") as refused:
        heif.check_installation()
    assert len(str(refused.value).splitlines()) == 1
