"""Metadata beside the pixels is skipped: it takes no time and is no reason to refuse."""

import struct
import tracemalloc
import zlib

import pytest
from conformance.jpegs import APP1, APP2, COMMENT, segment, with_segments
from PIL import Image

from conformance import exif, jpegs, pngs, webps
from greengrocer.errors import UnreadableImage
from greengrocer.imaging.decode import decode
from greengrocer.imaging.exif import read_orientation
from greengrocer.imaging.png import strip as strip_png
from greengrocer.imaging.webp import strip as strip_webp
from support.make_images import encoded, photo
from support.orientation import stored
from support.png import GREY, PALETTE, RGB, RGBA, png

MEGABYTE = 1_000_000
PICTURE, EXIF = stored(photo(8, (91, 53)), 6)
JPEG, PNG, WEBP = (encoded(PICTURE, kind) for kind in ("JPEG", "PNG", "WEBP"))
PIXEL = png((1, 1), 8, RGB, [bytes(3)])


def peak(data: bytes) -> int:
    """Bytes that Python has allocated at most while it decodes a small image."""
    decode(data)
    tracemalloc.start()
    decode(data)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


def beside(data: bytes, *chunks: bytes, behind: bool = False) -> bytes:
    """The PNG with chunks before or behind its pixels."""
    at = len(data) - 12 if behind else 33
    return data[:at] + b"".join(chunks) + data[at:]


def itxt(megabytes: int, keyword: bytes = b"x") -> bytes:
    return pngs.chunk(b"iTXt", keyword + b"\0\1\0\0\0" + pngs.compressed_zeros(megabytes))


PROFILE = zlib.compress(bytes(range(256)) * 10_000)
OTHER = {
    "63 texts of a mebibyte": [itxt(1)] * 63,
    "a text of 2 megabytes": [itxt(2)],
    "XMP of 2 megabytes": [itxt(2, b"XML:com.adobe.xmp")],
    "plain text of 2 megabytes": [pngs.chunk(b"tEXt", b"x\0" + b"y" * 2 * MEGABYTE)],
    "compressed text": [pngs.chunk(b"zTXt", b"x\0\0" + pngs.compressed_zeros(100))],
    "a profile of 2.5 megabytes": [pngs.chunk(b"iCCP", b"x\0\0" + PROFILE)],
    "a profile that is none": [pngs.chunk(b"iCCP", b"x\0\0junk")],
    "a text that is none": [pngs.chunk(b"iTXt", b"")],
    "unknown chunks": [pngs.chunk(b"abCd", bytes(MEGABYTE))] * 5,
    "a short gamma": [pngs.chunk(b"gAMA", b"\0")],
    "frames": [pngs.chunk(b"acTL", struct.pack(">II", 2**32 - 1, 0))],
    "a wrong checksum in a text": [pngs.chunk(b"tEXt", b"x\0y")[:-1] + b"?"],
    "a wrong checksum in a time": [pngs.chunk(b"tIME", bytes(7))[:-1] + b"?"],
    "a wrong checksum in a size": [pngs.chunk(b"pHYs", bytes(9))[:-1] + b"?"],
    "50,000 texts": [pngs.chunk(b"tEXt", b"x\0y")] * 50_000,
}


@pytest.mark.parametrize("behind", [False, True], ids=["before", "behind"])
@pytest.mark.parametrize("name", OTHER)
def test_other_chunks_of_a_png_are_free_and_harmless(name: str, behind: bool) -> None:
    data = beside(PNG, *OTHER[name], behind=behind)
    assert decode(data).tobytes() == decode(PNG).tobytes()
    assert peak(data) < MEGABYTE


def test_a_png_has_a_bounded_number_of_chunks() -> None:
    with pytest.raises(UnreadableImage, match="100000 chunks"):
        decode(beside(PIXEL, *[pngs.chunk(b"tEXt")] * 100_001))


@pytest.mark.accept
@pytest.mark.parametrize("kind", [b"PLTE", b"tRNS", b"eXIf", b"IDAT", b"tEXt"])
def test_a_png_is_passed_to_the_decoder_in_few_pieces(kind: bytes) -> None:
    """However many chunks there are, of any kind, empty or with a wrong checksum."""
    many = [pngs.chunk(kind, b"abc"[:length]) for length in (3, 0)] * 49_000
    damaged = [each[:-1] + b"?" for each in many[:2]] * 49_000
    for chunks in (many, damaged):
        for behind in (False, True):
            data = beside(PIXEL, *chunks, behind=behind)
            tracemalloc.start()
            handed = strip_png(data)
            _, most = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert len(handed.parts) <= 5
            assert most < 20_000


def test_the_first_of_two_palettes_is_used() -> None:
    coloured = png((1, 1), 8, PALETTE, [bytes(1)])
    both = [pngs.chunk(b"PLTE", bytes([value] * 6)) for value in (7, 9)]
    assert decode(beside(coloured, *both)).getpixel((0, 0)) == (7, 7, 7)


def test_pixels_in_many_chunks_are_read() -> None:
    at = PNG.index(b"IDAT") - 4
    length = int.from_bytes(PNG[at : at + 4], "big")
    stream = PNG[at + 8 : at + 8 + length]
    parts = [pngs.chunk(b"IDAT", stream[k : k + 1]) for k in range(length)]
    split = PNG[:at] + b"".join(parts) + PNG[at + 12 + length :]
    assert decode(split).tobytes() == decode(PNG).tobytes()


def test_a_webp_is_passed_to_the_decoder_in_few_pieces() -> None:
    extended = encoded(PICTURE.convert("RGBA"), "WEBP", exif=EXIF)
    assert extended[12:16] == b"VP8X"
    more = (b"ALPH" + struct.pack("<I", 2) + bytes(2)) * 15_000
    data = extended[:30] + more + extended[30:]
    data = data[:4] + struct.pack("<I", len(data) - 8) + data[8:]
    assert len(strip_webp(data).parts) <= 6


def test_transparency_with_a_wrong_checksum_is_ignored_as_in_browsers() -> None:
    white = pngs.chunk(b"tRNS", bytes(6))
    assert decode(beside(PIXEL, white)).getpixel((0, 0)) == (255, 255, 255)
    assert decode(beside(PIXEL, white[:-1] + b"?")).getpixel((0, 0)) == (0, 0, 0)


def test_a_palette_with_a_wrong_checksum_is_refused_where_the_pixels_need_it() -> None:
    palette = pngs.chunk(b"PLTE", bytes(6))
    coloured = png((1, 1), 8, PALETTE, [bytes(1)])
    assert decode(beside(coloured, palette)).getpixel((0, 0)) == (0, 0, 0)
    with pytest.raises(UnreadableImage):
        decode(beside(coloured, palette[:-1] + b"?"))
    for colour, row in ((GREY, bytes(1)), (RGB, bytes(3)), (RGBA, bytes(4))):
        decode(beside(png((1, 1), 8, colour, [row]), palette[:-1] + b"?"))


def test_a_palette_has_a_bounded_size() -> None:
    coloured = png((1, 1), 8, PALETTE, [bytes(1)])
    assert peak(beside(PIXEL, pngs.chunk(b"PLTE", bytes(3 * MEGABYTE)))) < MEGABYTE
    decoded = decode(beside(PIXEL, pngs.chunk(b"tRNS", bytes(3 * MEGABYTE))))
    assert decoded.getpixel((0, 0)) == (0, 0, 0)
    assert peak(beside(coloured, pngs.chunk(b"PLTE", bytes(768)))) < MEGABYTE


@pytest.mark.parametrize("behind", [False, True], ids=["before", "behind"])
def test_the_exif_of_a_png_is_read_at_any_position(behind: bool) -> None:
    data = beside(PNG, pngs.chunk(b"eXIf", EXIF[6:]), behind=behind)
    assert decode(data).size == (91, 53)
    damaged = beside(PNG, pngs.chunk(b"eXIf", EXIF[6:])[:-1] + b"?", behind=behind)
    assert decode(damaged).size == PICTURE.size


JPEG_SEGMENTS = {
    "300 comments": [segment(COMMENT, bytes(60_000))] * 300,
    "300 segments of XMP": [segment(APP1, b"http://ns.adobe.com/xap/1.0/\0" + bytes(60_000))] * 300,
    "300 segments of an application": [segment(b"\xff\xe9", bytes(60_000))] * 300,
    "300 segments of Photoshop": [
        segment(b"\xff\xed", b"Photoshop 3.0\0" + b"8BIM\4\4\0\0\0\0\xea\0" + bytes(59_904))
    ]
    * 300,
    "300 segments of EXIF": [segment(APP1, EXIF + bytes(60_000))] * 300,
    "a list of other images": [segment(APP2, b"MPF\0MM\0*" + bytes(60_000))] * 10,
}


@pytest.mark.parametrize("name", JPEG_SEGMENTS)
def test_other_segments_of_a_jpeg_are_free_and_harmless(name: str) -> None:
    data = with_segments(JPEG, *JPEG_SEGMENTS[name])
    decoded = decode(data)
    assert decoded.size == ((91, 53) if "EXIF" in name else PICTURE.size)
    assert peak(data) < MEGABYTE


@pytest.mark.filterwarnings("error")
def test_a_multi_picture_jpeg_causes_no_warning() -> None:
    data = with_segments(JPEG, segment(APP2, b"MPF\0MM\0*\0\0\0\x08\0\1\xb0\1\0\4\0\0\0\1\0\0\0\2"))
    assert decode(data).tobytes() == decode(JPEG).tobytes()


def test_a_profile_of_many_segments_is_free() -> None:
    assert peak(jpegs.with_icc(JPEG, 15 * MEGABYTE)) < MEGABYTE


def test_other_chunks_of_a_webp_are_free_and_harmless() -> None:
    others = [webps.chunk(kind, bytes(5 * MEGABYTE)) for kind in (b"ICCP", b"XMP ", b"abcd")]
    canvas = webps.canvas(PICTURE.size, webps.ICC | webps.EXIF)
    turned = webps.chunk(b"EXIF", EXIF)
    data = webps.webp(canvas, others[0], webps.image(WEBP), *others, turned)
    decoded = decode(data)
    assert decoded.size == (91, 53)
    assert decoded.tobytes() == decode(WEBP).transpose(Image.Transpose.ROTATE_270).tobytes()
    assert peak(data) < MEGABYTE


def test_the_other_frames_of_a_webp_are_free() -> None:
    still = encoded(photo(3, (600, 600)), "WEBP", lossless=True)
    size = (600, 600)
    one = peak(webps.animated(size, still, size, 1))
    assert peak(webps.animated(size, still, size, 50)) < one + MEGABYTE


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_exif_with_overlapping_entries_is_free(kind: str) -> None:
    """A parser that copies each entry's value would copy the block thousands of times."""
    entries = [exif.Entry(tag, 7, 65_000, 8) for tag in range(5000)]
    block = exif.exif(*entries) + bytes(5000)
    data = encoded(PICTURE, kind, exif=block)
    assert peak(data) < MEGABYTE


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [3, 4])
def test_the_orientation_is_read_in_either_byte_order(order: str, kind: int) -> None:
    for orientation in range(1, 9):
        value = struct.pack(order + ("HH" if kind == 3 else "I"), orientation, *[0][: 4 - kind])
        entries = [struct.pack(order + "HHII", 0x0100, 4, 1, 91)]
        entries += [struct.pack(order + "HHI", 0x0112, kind, 1) + value]
        start = (b"II" if order == "<" else b"MM") + struct.pack(order + "HIH", 42, 8, 2)
        block = start + b"".join(entries)
        assert read_orientation(block) == read_orientation(b"Exif\0\0" + block) == orientation
        for length in range(len(block) - 4):
            assert read_orientation(block[:length]) == 1
