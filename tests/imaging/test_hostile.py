"""Any bytes give an image or a refusal, never another error."""

from hypothesis import given, settings
from hypothesis import strategies as st

from greengrocer.errors import ImageRefused
from greengrocer.imaging.decode import DecodeLimits, decode
from greengrocer.imaging.formats import read_header
from support.make_images import encoded, photo
from support.orientation import stored
from support.png import GREY, RGB, SIGNATURE, chunk, header, png

LIMITS = DecodeLimits(pixels=1_000_000)
PICTURE, EXIF = stored(photo(9, (24, 16)), 6)
SEEDS = [
    encoded(PICTURE, "JPEG", exif=EXIF),
    encoded(PICTURE, "JPEG", progressive=True, quality=40),
    encoded(PICTURE, "PNG", exif=EXIF),
    encoded(PICTURE.quantize(8), "PNG", transparency=1),
    encoded(PICTURE.convert("L"), "PNG"),
    encoded(PICTURE, "WEBP"),
    encoded(PICTURE.convert("RGBA"), "WEBP", lossless=True, exif=EXIF),
    encoded(PICTURE, "WEBP", save_all=True, append_images=[photo(1, PICTURE.size)]),
]
CHUNKS = [
    *(b"IHDR", b"PLTE", b"IDAT", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP"),
    *(b"pHYs", b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"acTL", b"fcTL", b"fdAT"),
]
Edit = tuple[int, bytes]
edits = st.lists(st.tuples(st.integers(0, 5000), st.binary(min_size=1, max_size=4)), max_size=6)


def picture_or_refusal(data: bytes) -> None:
    try:
        decoded = decode(data, (8, 8), LIMITS)
    except ImageRefused as refusal:
        message = str(refusal)
    else:
        message = f"an image of mode {decoded.mode}"
        assert decoded.mode == "RGB"
        assert 0 < decoded.width * decoded.height <= LIMITS.pixels
    assert len(message.splitlines()) == 1


@settings(max_examples=600, deadline=None)
@given(seed=st.sampled_from(SEEDS), changes=edits, keep=st.floats(0, 1))
def test_a_mutated_or_truncated_image_is_decoded_or_refused(
    seed: bytes, changes: list[Edit], keep: float
) -> None:
    data = bytearray(seed)
    for position, new in changes:
        at = position % len(seed)
        data[at : at + len(new)] = new
    picture_or_refusal(bytes(data) if keep > 0.5 else bytes(data[: int(keep * 2 * len(data))]))


@settings(max_examples=300, deadline=None)
@given(start=st.sampled_from([seed[:n] for seed in SEEDS for n in (0, 3, 12, 20, 30)]), rest=...)
def test_random_bytes_after_a_valid_signature_are_decoded_or_refused(
    start: bytes, rest: bytes
) -> None:
    picture_or_refusal(start + rest)


@settings(max_examples=300, deadline=None)
@given(kind=st.sampled_from(CHUNKS), content=st.binary(max_size=40))
def test_any_png_chunk_with_a_valid_checksum_is_decoded_or_refused(
    kind: bytes, content: bytes
) -> None:
    for sound in (png((2, 2), 8, GREY, [bytes(2)] * 2), png((2, 2), 16, RGB, [bytes(12)] * 2)):
        end = len(SIGNATURE) + len(header((2, 2), 8, GREY))
        picture_or_refusal(sound[:end] + chunk(kind, content) + sound[end:])


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=200))
def test_a_header_is_read_or_refused(data: bytes) -> None:
    for start in (b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBPVP8X"):
        try:
            assert read_header(start + data).pixels > 0
        except ImageRefused:
            continue
