"""Images crafted to be expensive, contradictory or something else, and their allowed outcomes."""

import struct
import zlib
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from conformance import exif, jpegs, pngs, stills, webps
from conformance.jpegs import APP1, APP2, COMMENT, segment, with_segments
from conformance.photos import encoded, jpeg, photo, plain

OK = frozenset({"ok"})
UNREADABLE = frozenset({"unreadable-image"})
EITHER = OK | UNREADABLE  # a decoder may forgive it
SLOW = frozenset({"image-too-slow"})
PIXELS = frozenset({"too-many-pixels"})
FOREIGN = frozenset({"unsupported-format"})
WITH_EXTRA = FOREIGN | OK  # as the extra heif is installed or not
CUT = FOREIGN | UNREADABLE  # likewise
XMP = b"XML:com.adobe.xmp\0\1\0\0\0"
LARGE = 5_000_000  # bytes of a profile, or of EXIF

SOUND = jpeg(photo(1))
PROGRESSIVE = jpeg(photo(1), progressive=True)
RESTARTS = jpeg(photo(1), restart_marker_blocks=1)
SQUARE = (16, 16)
PNG = pngs.blank(SQUARE)
WEBP = encoded(photo(1, SQUARE), "WEBP")


class Crafted(NamedTuple):
    """An image, and the outcomes that are right for it. ``build`` may take a second."""

    name: str
    outcomes: frozenset[str]
    build: Callable[[], bytes]


def _no_rows(*extra: bytes, size: tuple[int, int] = SQUARE) -> bytes:
    return pngs.joined(pngs.header(size), *extra)


def _in_pieces() -> bytes:
    rows = zlib.compress(bytes(16 * 49), 0)
    return pngs.joined(
        pngs.header(SQUARE), *[pngs.chunk(b"IDAT", rows[k : k + 1]) for k in range(len(rows))]
    )


def _unpacking(kind: bytes, start: bytes) -> bytes:
    return pngs.blank(SQUARE, pngs.chunk(kind, start + pngs.compressed_zeros(500)))


def _exif_in_jpeg(block: bytes) -> Callable[[], bytes]:
    return lambda: with_segments(SOUND, segment(APP1, block))


def _exif_in_png(block: bytes) -> Callable[[], bytes]:
    return lambda: pngs.blank(SQUARE, pngs.chunk(b"eXIf", block[6:]))


def _exif_in_webp(block: bytes) -> Callable[[], bytes]:
    return lambda: webps.webp(
        webps.canvas(SQUARE, webps.EXIF), webps.image(WEBP), webps.chunk(b"EXIF", block)
    )


def _interlaced() -> bytes:
    return pngs.interlaced(np.asarray(photo(1)))


JPEGS = [
    Crafted("grey", OK, lambda: jpeg(photo(1).convert("L"))),
    Crafted("CMYK", OK, lambda: jpeg(photo(1).convert("CMYK"))),
    Crafted("one pixel", OK, lambda: jpeg(photo(1, (1, 1)))),
    Crafted("as wide as can be", OK, lambda: jpeg(photo(1, (65500, 1)))),
    Crafted(
        "a segment without a length", UNREADABLE, lambda: with_segments(SOUND, b"\xff\xdc\0\0")
    ),
    Crafted(
        "a segment that is too short", UNREADABLE, lambda: with_segments(SOUND, b"\xff\xdb\0\1")
    ),
    Crafted("unknown segments", OK, lambda: with_segments(SOUND, segment(b"\xff\xf3", b"x"))),
    Crafted("restart markers", OK, lambda: jpeg(photo(1), restart_marker_blocks=1)),
    Crafted("no subsampling", OK, lambda: jpeg(photo(1), subsampling=0)),
    Crafted("progressive", OK, lambda: PROGRESSIVE),
    Crafted("65,535 pixels each way", PIXELS, lambda: jpegs.with_size(SOUND, 65535, 65535)),
    Crafted("one row over the pixels", PIXELS, lambda: jpegs.with_size(SOUND, 12000, 10001)),
    Crafted("no width", UNREADABLE, lambda: jpegs.with_size(SOUND, 0, 120)),
    Crafted("no height", UNREADABLE, lambda: jpegs.with_size(SOUND, 160, 0)),
    Crafted("larger than its scan", EITHER, lambda: jpegs.with_size(SOUND, 5000, 5000)),
    Crafted("smaller than its scan", EITHER, lambda: jpegs.with_size(SOUND, 8, 8)),
    Crafted("no components", UNREADABLE, lambda: jpegs.patched(SOUND, 9, b"\0")),
    Crafted("255 components", UNREADABLE, lambda: jpegs.patched(SOUND, 9, b"\xff")),
    Crafted("sampled nowise", UNREADABLE, lambda: jpegs.patched(SOUND, 11, b"\0")),
    Crafted("sampled 15 by 15", UNREADABLE, lambda: jpegs.patched(SOUND, 11, b"\xff")),
    Crafted("12 bit", UNREADABLE, lambda: jpegs.patched(SOUND, 4, b"\x0c")),
    Crafted("called extended", OK, lambda: jpegs.patched(SOUND, 1, b"\xc1")),
    Crafted("called progressive", EITHER, lambda: jpegs.patched(SOUND, 1, b"\xc2")),
    *[
        Crafted(f"frame {kind:02x}", UNREADABLE, partial(jpegs.patched, SOUND, 1, bytes([kind])))
        for kind in (0xC3, 0xC5, 0xC7, 0xC9, 0xCA, 0xCB, 0xCF)
    ],
    Crafted("no quantisation", UNREADABLE, lambda: jpegs.without(SOUND, b"\xff\xdb")),
    Crafted("no Huffman tables", EITHER, lambda: jpegs.without(SOUND, b"\xff\xc4")),
    Crafted("300 scans", EITHER, lambda: jpegs.with_repeated_scan(PROGRESSIVE, 300)),
    Crafted(
        "2,000 scans of a megapixel",
        UNREADABLE,
        lambda: jpegs.with_repeated_scan(jpeg(plain(9, (1000, 1000)), progressive=True), 2000),
    ),
    Crafted(
        "14 scans of 49 megapixels",
        EITHER | SLOW,
        lambda: jpegs.with_repeated_scan(jpegs.with_size(PROGRESSIVE, 7000, 7000), 5),
    ),
    Crafted(
        "a progressive CMYK of 49 megapixels",
        EITHER | SLOW,
        lambda: jpegs.with_size(
            jpeg(photo(1).convert("CMYK"), progressive=True, subsampling=0), 7000, 7000
        ),
    ),
    Crafted("two frames", EITHER, lambda: SOUND[:-2] + SOUND[jpegs.frame(SOUND) :]),
    Crafted("a second header", EITHER, lambda: SOUND + jpegs.with_size(SOUND, 60000, 60000)),
    Crafted(
        "100,000 comments",
        UNREADABLE,
        lambda: with_segments(SOUND, *[segment(COMMENT, b"")] * 100_000),
    ),
    Crafted("a segment of no length", EITHER, lambda: with_segments(SOUND, COMMENT + b"\0\0")),
    Crafted("filling", OK, lambda: with_segments(SOUND, b"\xff" * 1000)),
    Crafted("megabytes of filling", UNREADABLE, lambda: with_segments(SOUND, b"\xff" * 19_000_000)),
    Crafted("a profile of 5 megabytes", OK, lambda: jpegs.with_icc(SOUND, LARGE)),
    Crafted("no end", OK, lambda: SOUND[:-2]),
    Crafted("no end, progressive", OK, lambda: PROGRESSIVE[:-2]),
    Crafted("no end and half a marker", OK, lambda: SOUND[:-1]),
    Crafted("no end and no last pixels", UNREADABLE, lambda: SOUND[:-9]),
    Crafted(
        "zeros for half of its pixels",
        UNREADABLE,
        lambda: SOUND[: len(SOUND) // 2] + bytes(len(SOUND)),
    ),
    Crafted("no end and half of its pixels", UNREADABLE, lambda: SOUND[: len(SOUND) // 2]),
    Crafted(
        "no end and no last scan", UNREADABLE, lambda: PROGRESSIVE[: PROGRESSIVE.rfind(jpegs.SCAN)]
    ),
    Crafted(
        "no end and no pixels behind a restart marker",
        UNREADABLE,
        lambda: RESTARTS[: RESTARTS.rfind(b"\xff\xd3")],
    ),
    Crafted("bytes behind its end", OK, lambda: SOUND + bytes(100_000)),
    Crafted(
        "300 segments of other images",
        OK,
        lambda: with_segments(SOUND, *[segment(APP2, b"MPF\0MM\0*" + bytes(60_000))] * 300),
    ),
    Crafted("only a beginning", UNREADABLE, lambda: jpegs.SOI + jpegs.EOI),
]
PNGS = [
    Crafted("interlaced", OK, _interlaced),
    Crafted("palette", OK, lambda: encoded(photo(1).quantize(16), "PNG")),
    Crafted("transparent", OK, lambda: encoded(photo(1).convert("RGBA"), "PNG")),
    Crafted("1 bit", OK, lambda: encoded(photo(1).convert("1"), "PNG")),
    Crafted("16 bit", OK, lambda: pngs.blank(SQUARE, depth=16)),
    Crafted("16 bit grey", OK, lambda: pngs.blank(SQUARE, depth=16, colour=pngs.GREY)),
    Crafted("16 bit transparent", OK, lambda: pngs.blank(SQUARE, depth=16, colour=pngs.RGBA)),
    Crafted("30,000 pixels each way", PIXELS, lambda: _no_rows(size=(30_000, 30_000))),
    Crafted("2 billion pixels each way", PIXELS, lambda: _no_rows(size=(2**31 - 1, 2**31 - 1))),
    Crafted("4 billion pixels wide", PIXELS, lambda: _no_rows(size=(2**32 - 1, 1))),
    Crafted("no width", UNREADABLE, lambda: _no_rows(size=(0, 16))),
    Crafted("no height", UNREADABLE, lambda: _no_rows(size=(16, 0))),
    Crafted("no pixels", UNREADABLE, _no_rows),
    Crafted("50 megapixels of zeros", OK, lambda: pngs.blank((10_000, 5_000), colour=pngs.GREY)),
    Crafted(
        "rows of another 500 megabytes",
        EITHER,
        lambda: _no_rows(pngs.chunk(b"IDAT", pngs.compressed_zeros(500))),
    ),
    *[
        Crafted(
            f"{kind.decode()} that unpacks to 500 megabytes",
            OK,
            partial(_unpacking, kind, start),
        )
        for kind, start in ((b"iCCP", b"x\0\0"), (b"zTXt", b"x\0\0"), (b"iTXt", b"x\0\1\0\0\0"))
    ],
    Crafted(
        "1,000 texts that unpack to a megabyte each",
        OK,
        lambda: pngs.blank(
            SQUARE, *[pngs.chunk(b"zTXt", b"x\0\0" + pngs.compressed_zeros(1))] * 1000
        ),
    ),
    Crafted(
        "63 texts of a mebibyte on one pixel",
        OK,
        lambda: pngs.blank(
            (1, 1), *[pngs.chunk(b"iTXt", b"x\0\1\0\0\0" + pngs.compressed_zeros(1))] * 63
        ),
    ),
    Crafted(
        "2 megabytes of XMP",
        OK,
        lambda: pngs.blank(SQUARE, pngs.chunk(b"iTXt", XMP + pngs.compressed_zeros(2))),
    ),
    Crafted(
        "a profile of 2 megabytes",
        OK,
        lambda: pngs.blank(SQUARE, pngs.chunk(b"iCCP", b"x\0\0" + pngs.compressed_zeros(2))),
    ),
    Crafted(
        "a wrong checksum in a text",
        OK,
        lambda: pngs.blank(SQUARE, pngs.chunk(b"tEXt", b"x\0y")[:-1] + b"?"),
    ),
    Crafted(
        "a wrong checksum in its physical size",
        OK,
        lambda: pngs.blank(SQUARE, pngs.chunk(b"pHYs", bytes(9))[:-1] + b"?"),
    ),
    Crafted("a text that is none", OK, lambda: pngs.blank(SQUARE, pngs.chunk(b"iTXt"))),
    Crafted("unknown chunks", OK, lambda: pngs.blank(SQUARE, pngs.chunk(b"abCd", bytes(LARGE)))),
    Crafted("bytes behind its end", OK, lambda: PNG + bytes(100_000)),
    Crafted("no end", OK, lambda: PNG[:-12]),
    Crafted("a row of 100 megapixels", PIXELS, lambda: _no_rows(size=(100_000_000, 1))),
    Crafted("a column of 100 megapixels", PIXELS, lambda: _no_rows(size=(1, 100_000_000))),
    Crafted(
        "a row of 30 megapixels",
        OK,
        lambda: pngs.blank((30_000_000, 1), colour=pngs.GREY),
    ),
    Crafted(
        "100,000 texts",
        UNREADABLE,
        lambda: pngs.blank(SQUARE, *[pngs.chunk(b"tEXt", b"x\0y")] * 100_000),
    ),
    Crafted("rows one byte at a time", OK, _in_pieces),
    Crafted("palette without colours", EITHER, lambda: pngs.blank(SQUARE, colour=pngs.PALETTE)),
    Crafted("3 bits", UNREADABLE, lambda: pngs.png(pngs.header(SQUARE, 3), bytes(999))),
    Crafted("colour 5", UNREADABLE, lambda: pngs.png(pngs.header(SQUARE, 8, 5), bytes(9999))),
    Crafted("a wrong checksum", UNREADABLE, lambda: PNG[:29] + b"\0\0\0\0" + PNG[33:]),
    Crafted("filter 255", EITHER, lambda: pngs.png(pngs.header(SQUARE), b"\xff" * 784)),
    Crafted(
        "4 billion frames",
        OK,
        lambda: pngs.blank(SQUARE, pngs.chunk(b"acTL", struct.pack(">II", 2**32 - 1, 0))),
    ),
    Crafted(
        "a frame larger than itself",
        OK,
        lambda: pngs.blank(
            SQUARE,
            pngs.chunk(b"acTL", struct.pack(">II", 2, 0)),
            pngs.chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 60000, 60000, 9, 9, 1, 1, 0, 0)),
        ),
    ),
    Crafted(
        "EXIF of 5 megabytes",
        OK,
        lambda: pngs.blank(SQUARE, pngs.chunk(b"eXIf", exif.TURNED[6:] + bytes(LARGE))),
    ),
    Crafted("a chunk of 4 billion bytes", UNREADABLE, lambda: PNG[:33] + b"\xff\xff\xff\xffIDAT"),
]
WEBPS = [
    Crafted("lossless", OK, lambda: encoded(photo(1), "WEBP", lossless=True)),
    Crafted("transparent", OK, lambda: encoded(photo(1).convert("RGBA"), "WEBP")),
    Crafted("animated", OK, lambda: webps.animated(SQUARE, WEBP, SQUARE, 2)),
    Crafted(
        "a canvas that is too wide",
        PIXELS,
        lambda: webps.animated((3_500_000, 32), WEBP, SQUARE, 2),
    ),
    Crafted("5,000 frames", OK, lambda: webps.animated(SQUARE, WEBP, SQUARE, 5000)),
    Crafted(
        "16 million pixels each way",
        PIXELS,
        lambda: webps.webp(webps.canvas((1 << 24, 1 << 24)), webps.image(WEBP)),
    ),
    Crafted("bytes behind its end", OK, lambda: WEBP + bytes(100_000)),
    Crafted(
        "megabytes beside its image",
        OK,
        lambda: webps.webp(
            webps.canvas(SQUARE, webps.ICC | webps.EXIF),
            *[webps.chunk(kind, bytes(LARGE // 5)) for kind in (b"ICCP", b"abcd")],
            webps.image(WEBP),
            *[webps.chunk(kind, bytes(LARGE // 5)) for kind in (b"XMP ", b"efgh")],
        ),
    ),
    Crafted(
        "a small frame on 49 megapixels",
        EITHER,
        lambda: webps.animated((7000, 7000), WEBP, SQUARE, 3),
    ),
    Crafted(
        "a canvas smaller than its image",
        UNREADABLE,
        lambda: webps.webp(webps.canvas((2, 2)), webps.image(WEBP)),
    ),
    Crafted(
        "a frame outside of its canvas", EITHER, lambda: webps.animated((2, 2), WEBP, SQUARE, 2)
    ),
    Crafted("no image", UNREADABLE, lambda: webps.webp(webps.canvas(SQUARE))),
    Crafted(
        "4 gigabytes claimed", UNREADABLE, lambda: webps.webp(webps.image(WEBP), claimed=2**32 - 1)
    ),
    Crafted("nothing claimed", UNREADABLE, lambda: webps.webp(webps.image(WEBP), claimed=0)),
    Crafted(
        "a profile of 5 megabytes",
        OK,
        lambda: webps.webp(
            webps.canvas(SQUARE, webps.ICC),
            webps.chunk(b"ICCP", bytes(LARGE)),
            webps.image(WEBP),
        ),
    ),
]
EXIFS = [
    Crafted(f"{name} ({place.__name__[9:]})", OK, place(block))
    for name, block in exif.ODD.items()
    for place in (_exif_in_jpeg, _exif_in_png, _exif_in_webp)
]
STILLS = [
    Crafted("a HEIC", WITH_EXTRA, lambda: stills.HEIC),
    Crafted("an AVIF", WITH_EXTRA, partial(encoded, photo(1), "AVIF")),
    *[
        Crafted(f"{brand.decode()} and no more", CUT, partial(stills.ftyp, brand))
        for brand in (
            *(b"heic", b"heix", b"hevc", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1"),
            *(b"avif", b"avis", b"avio"),
        )
    ],
    Crafted("heic among the others", CUT, lambda: stills.ftyp(b"mif1", b"miaf", b"heic", minor=9)),
    *[
        Crafted(f"a film ({brand.decode()})", FOREIGN, partial(stills.ftyp, brand, b"mp41"))
        for brand in (b"isom", b"mp42", b"qt  ", b"3gp5")
    ],
    Crafted("a HEIC cut in the middle", CUT, lambda: stills.HEIC[: len(stills.HEIC) // 2]),
    Crafted("a HEIC without its end", CUT, lambda: stills.HEIC[:-20]),
    Crafted(
        "a HEIC of 60,000 pixels each way",
        FOREIGN | PIXELS,
        lambda: stills.with_size(stills.HEIC, 60_000, 60_000),
    ),
    Crafted("a HEIC smaller than its stream", CUT, lambda: stills.with_size(stills.HEIC, 8, 8)),
]
STRANGERS = [
    *[
        Crafted(f"a {kind}", FOREIGN, partial(encoded, photo(1), kind))
        for kind in ("GIF", "BMP", "TIFF", "ICO", "JPEG2000")
    ],
    *[
        Crafted(f"a {kind}", UNREADABLE, partial(encoded, photo(1), kind))
        for kind in ("PPM", "TGA", "PCX", "EPS")
    ],
    Crafted("an SVG", FOREIGN, lambda: b'<svg xmlns="http://www.w3.org/2000/svg"/>'),
    Crafted("a PDF", FOREIGN, lambda: b"%PDF-1.7\n" + SOUND),
    Crafted("a ZIP", FOREIGN, lambda: b"PK\3\4" + bytes(26) + SOUND),
    Crafted("a web page", FOREIGN, lambda: b"<!DOCTYPE html><script>1</script>"),
    Crafted("a JPEG and a ZIP", OK, lambda: SOUND + b"PK\3\4" + bytes(100) + b"PK\5\6" + bytes(18)),
    Crafted(
        "a JPEG and a script",
        OK,
        lambda: with_segments(SOUND, segment(COMMENT, b"*/<script>alert(1)</script>/*")),
    ),
    Crafted("a GIF and a JPEG", FOREIGN, lambda: b"GIF89a/*" + SOUND),
    Crafted("a PNG and a JPEG", OK, lambda: PNG + SOUND),
    Crafted("a PNG's signature on a JPEG", UNREADABLE, lambda: pngs.SIGNATURE + SOUND),
    Crafted("a JPEG's start on a PNG", UNREADABLE, lambda: b"\xff\xd8\xff" + PNG),
    Crafted("zeros", UNREADABLE, lambda: bytes(1000)),
    Crafted("a line break", UNREADABLE, lambda: b"\r\n"),
]
THEMES = {
    "jpeg": JPEGS,
    "png": PNGS,
    "webp": WEBPS,
    "exif": EXIFS,
    "still": STILLS,
    "stranger": STRANGERS,
}
CRAFTED = {f"{theme}: {one.name}": one for theme, ones in THEMES.items() for one in ones}
