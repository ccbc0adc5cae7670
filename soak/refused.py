"""Requests that are refused; some have decoded pixels, whose memory must be freed."""

import io
import json
import struct
import zlib
from collections.abc import Sequence
from functools import cache

from PIL import Image

from soak.kinds import INFER, LEFT, MEGABYTE, OK, UNKNOWN, Kind, Manner, or_full
from soak.messages import FORM, behind, chunked, form, head, in_json, post, posts

CUT_SHORT = "400 unreadable-image"
SIDE = 3600  # pixels: 52 megabytes in RGBA
TEXTS = 63  # of a mebibyte each
HALF = MEGABYTE // 2
END = 12  # bytes: a PNG's last chunk


def refusals(images: Sequence[bytes], models: Sequence[str]) -> list[Kind]:
    """All other kinds that are refused, and bombs that are not; arguments as ``kinds`` has them."""
    uploads = [*_damaged(images), *_too_large(), *_forms(images), *_heads()]
    return [*_tensors(_large(), models), *uploads]


def endless_pictures() -> list[Kind]:
    """Large images without their end: only their last bytes show that they are damaged."""
    large = _large()
    batch = form(large[0], large[0])
    return [
        Kind("endless image", 4, "/predict", posts("/predict", large), or_full(CUT_SHORT)),
        Kind("endless, to explain", 1, "/explain", posts("/explain", large), or_full(CUT_SHORT)),
        Kind(
            "endless, in a form",
            1,
            "/predict",
            [post("/predict", form(each), FORM) for each in large],
            or_full(CUT_SHORT),
        ),
        Kind(
            "endless, in a batch",
            1,
            "/predict/batch",
            [post("/predict/batch", batch, FORM)],
            or_full(f"{OK} of 400, 400"),
        ),
        Kind(
            "endless, in a hurry",
            1,
            "/predict",
            [post("/predict", large[0], more=("X-Deadline-Ms: 60",))],
            or_full(CUT_SHORT, "504 deadline-exceeded"),
        ),
        Kind(
            "left an endless one",
            1,
            "/predict",
            posts("/predict", large),
            frozenset({LEFT}),
            Manner.LEAVES_WAITING,
        ),
    ]


def _tensors(large: Sequence[bytes], models: Sequence[str]) -> list[Kind]:
    paths = [INFER.format(name=model) for model in models]
    tails = [struct.pack("<I", len(each)) + each for each in large]
    endless = [*map(in_json, large), *map(behind, tails)]
    no_base64 = {"name": "image", "shape": [1], "datatype": "BYTES", "data": ["?" * HALF]}
    malformed = [
        b"{",
        json.dumps({"inputs": []}).encode(),
        json.dumps({"inputs": [no_base64]}).encode(),
        json.dumps({"id": "x" * HALF, "inputs": [no_base64]}).encode(),
    ]
    bad = [*endless, *[(text, "application/json", ()) for text in malformed]]
    sent = [post(path, *each) for path in paths for each in bad]
    return [Kind("bad tensors", 3, INFER, sent, frozenset({"400", "429", UNKNOWN}))]


def _damaged(images: Sequence[bytes]) -> list[Kind]:
    damaged = [image[: len(image) // 2] for image in images]
    return [
        Kind("damaged image", 8, "/predict", posts("/predict", damaged), or_full(CUT_SHORT)),
        Kind(
            "other format",
            3,
            "/predict",
            posts("/predict", [b"GIF89a" + bytes(100)]),
            frozenset({"415 unsupported-format"}),
        ),
    ]


def _too_large() -> list[Kind]:
    too_long = bytes(MEGABYTE + 1)
    return [
        Kind(
            "too many bytes",
            2,
            "/predict",
            [
                post("/predict", too_long)[:200],  # what its head declares is enough
                chunked("/predict", too_long),
                post("/predict", form(too_long), FORM),
            ],
            frozenset({"413 too-many-bytes"}),
        ),
        Kind(
            "too many pixels",
            2,
            "/predict",
            posts("/predict", [_of_121_megapixels()]),
            frozenset({"413 too-many-pixels"}),
        ),
        Kind(
            "too many pixels, to explain",
            1,
            "/explain",
            posts("/explain", [_of_121_megapixels()]),
            frozenset({"413 too-many-pixels"}),
        ),
        Kind("text bomb", 2, "/predict", posts("/predict", [_text_bomb()]), or_full(OK)),
    ]


def _forms(images: Sequence[bytes]) -> list[Kind]:
    whole = form(images[0])
    return [
        Kind(
            "malformed form",
            2,
            "/predict",
            [post("/predict", whole[:-20], FORM)],
            frozenset({"400 malformed-upload"}),
        ),
        Kind(
            "malformed batch",
            1,
            "/predict/batch",
            [post("/predict/batch", whole[:-20], FORM)],
            frozenset({"400 malformed-upload"}),
        ),
        Kind(
            "two images for one",
            1,
            "/predict",
            [post("/predict", form(*images[:2]), FORM)],
            frozenset({"422 repeated-field"}),
        ),
    ]


def _heads() -> list[Kind]:
    return [
        Kind(
            "no HTTP",
            2,
            None,
            [b"NONSENSE\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"],
            frozenset({"400 bad-request"}),
        ),
        Kind(
            "too large a head",
            1,
            None,
            [head("GET", "/livez", f"X-Long: {'x' * 40_000}")],
            frozenset({"431 head-too-large"}),
        ),
    ]


@cache
def _large() -> list[bytes]:
    """PNGs of many pixels and few bytes, and a progressive JPEG, each without its end."""
    image = Image.new("RGBA", (SIDE, SIDE), (200, 100, 50, 255))
    coloured = Image.effect_noise((60, 60), 100).convert("RGB").resize((SIDE // 2, SIDE // 2))
    scans = _encoded(coloured, "JPEG", progressive=True)
    pngs = [_encoded(image.convert(mode), "PNG", compress_level=6) for mode in ("RGBA", "RGB")]
    return [*[png[:-400] for png in pngs], scans[: len(scans) // 2]]


def _of_121_megapixels() -> bytes:
    """In some kilobytes; 120 are allowed."""
    return _encoded(Image.new("1", (11_000, 11_000)), "PNG")


def _text_bomb() -> bytes:
    """One pixel, and texts of many megabytes."""
    content = b"iTXt" + b"x\0\1\0\0\0" + zlib.compress(bytes(1 << 20))
    sizes = struct.pack(">I", len(content) - 4), struct.pack(">I", zlib.crc32(content))
    image = _encoded(Image.new("L", (1, 1)), "PNG")
    return image[:-END] + content.join(sizes) * TEXTS + image[-END:]


def _encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    written = io.BytesIO()
    image.save(written, kind, **options)
    return written.getvalue()
