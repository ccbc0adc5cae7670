"""What is sent: kinds of requests, good and bad, each with the outcomes that are right for it."""

import io
import json
import struct
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from PIL import Image

MEGABYTE = 1_000_000  # the service's --max-megabytes is 1
FRONTIER = "frontier"
FORM = f"multipart/form-data; boundary={FRONTIER}"

OK = "200"
FULL = "429 overloaded"
LEFT = "left"  # we hung up before there was an answer, or before it was read
UNKNOWN, TAKEN_OVER = "404", "503"  # another model serves, or has come to serve meanwhile
INFER = "/v2/models/{name}/infer"


class Manner(Enum):
    """How a client behaves."""

    WHOLE = "sends all, and reads the answer"
    STALLED = "sends half, and waits for an answer"
    LEAVES_SENDING = "sends half, and hangs up"
    LEAVES_WAITING = "sends all, and hangs up"
    READS_SLOWLY = "sends all, and reads the answer bit by bit"
    NEVER_READS = "sends all, reads nothing for a while, and hangs up"


@dataclass(frozen=True, eq=False)
class Kind:
    """One kind of request."""

    name: str
    weight: int  # how many of these there are beside the other kinds
    route: str | None  # as the service's metrics name it; None: it never becomes a request
    requests: Sequence[bytes]  # one of them is sent, whole or in part
    outcomes: frozenset[str]  # what may become of it where nobody is killed
    manner: Manner = Manner.WHOLE


def kinds(pictures: Sequence[bytes], models: Sequence[str]) -> list[Kind]:
    """All kinds, made of good ``pictures``, each of less than a megabyte.

    Of the ``models`` any may serve, and another after each reload.
    """
    rude = [*_rude(pictures), *_slow_readers()]
    return [*_good(pictures), *_tensors(pictures, models), *_bad(pictures), *rude, *_small()]


def _good(pictures: Sequence[bytes]) -> list[Kind]:
    damaged = pictures[0][: len(pictures[0]) // 2]
    batches = [_form(picture, damaged, picture) for picture in pictures[:8]]
    return [
        Kind("picture", 40, "/predict", _posts("/predict", pictures), _or_full(OK)),
        Kind(
            "picture in a form",
            8,
            "/predict",
            [_post("/predict", _form(picture), FORM) for picture in pictures],
            _or_full(OK),
        ),
        Kind("explanation", 2, "/explain", _posts("/explain", pictures), _or_full(OK)),
        Kind(
            "batch with a damaged one",
            2,
            "/predict/batch",
            [_post("/predict/batch", batch, FORM) for batch in batches],
            _or_full(f"{OK} of 200, 400, 200"),
        ),
        Kind(
            "picture in a hurry",
            4,
            "/predict",
            [_post("/predict", picture, more=("X-Deadline-Ms: 60",)) for picture in pictures],
            _or_full(OK, "504 deadline-exceeded"),
        ),
    ]


def _tensors(pictures: Sequence[bytes], models: Sequence[str]) -> list[Kind]:
    """A request knows its model by name: where it is not the one that serves, there is no such."""
    paths = [INFER.format(name=model) for model in models]
    in_json = [_in_json(picture) for picture in pictures]
    behind = [_behind(struct.pack("<I", len(each)) + each) for each in pictures]
    nothing = _behind(bytes(MEGABYTE // 2))  # as many elements of no bytes as there is room for
    good = [_post(path, *sent) for path in paths for sent in (*in_json, *behind)]
    bad = [_post(path, *nothing) for path in paths]
    return [
        Kind("tensors", 8, INFER, good, frozenset({OK, "429", UNKNOWN, TAKEN_OVER})),
        Kind("tensors of nothing", 2, INFER, bad, frozenset({"400", "429", UNKNOWN})),
    ]


def _in_json(picture: bytes) -> tuple[bytes, str, tuple[str, ...]]:
    """A request's body, its type and its other headers."""
    data = [b64encode(picture).decode()]
    given = {"name": "image", "shape": [1], "datatype": "BYTES", "data": data}
    return json.dumps({"inputs": [given]}).encode(), "application/json", ()


def _behind(tail: bytes) -> tuple[bytes, str, tuple[str, ...]]:
    """The same, where the tensor follows the JSON."""
    given = {"name": "image", "shape": [1], "datatype": "BYTES"}
    size = {"binary_data_size": len(tail)}
    text = json.dumps({"inputs": [{**given, "parameters": size}]}).encode()
    length = f"Inference-Header-Content-Length: {len(text)}"
    return text + tail, "application/octet-stream", (length,)


def _bad(pictures: Sequence[bytes]) -> list[Kind]:
    damaged = [picture[: len(picture) // 2] for picture in pictures]
    too_long = bytes(MEGABYTE + 1)
    return [
        Kind(
            "damaged picture",
            8,
            "/predict",
            _posts("/predict", damaged),
            _or_full("400 unreadable-picture"),
        ),
        Kind(
            "other format",
            3,
            "/predict",
            _posts("/predict", [b"GIF89a" + bytes(100)]),
            frozenset({"415 unsupported-format"}),
        ),
        Kind(
            "too many bytes",
            2,
            "/predict",
            [
                _post("/predict", too_long)[:200],  # what its head declares is enough
                _chunked("/predict", too_long),
                _post("/predict", _form(too_long), FORM),
            ],
            frozenset({"413 too-many-bytes"}),
        ),
        Kind(
            "too many pixels",
            2,
            "/predict",
            _posts("/predict", [_large_png()]),
            frozenset({"413 too-many-pixels"}),
        ),
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
            [_head("GET", "/livez", f"X-Long: {'x' * 40_000}")],
            frozenset({"431 head-too-large"}),
        ),
    ]


def _rude(pictures: Sequence[bytes]) -> list[Kind]:
    posts = _posts("/predict", pictures)
    left = frozenset({LEFT})
    return [
        Kind(
            "stalled upload",
            1,
            "/predict",
            posts,
            frozenset({"408 slow-upload"}),
            Manner.STALLED,
        ),
        Kind(
            "stalled head",
            1,
            None,
            [_head("GET", "/livez")],
            frozenset({"408 slow-head"}),
            Manner.STALLED,
        ),
        Kind("left while sending", 4, "/predict", posts, left, Manner.LEAVES_SENDING),
        Kind("left while waiting", 4, "/predict", posts, left, Manner.LEAVES_WAITING),
        Kind(
            "left a batch",
            1,
            "/predict/batch",
            [_post("/predict/batch", _form(*pictures[:8]), FORM)],
            left,
            Manner.LEAVES_WAITING,
        ),
    ]


def _slow_readers() -> list[Kind]:
    """They ask for a megabyte and a half, which no buffer between us holds."""
    asked = [_head("GET", "/docs/assets/swagger-ui-bundle.js")]
    return [
        Kind("slow reader", 1, "unmatched", asked, frozenset({OK}), Manner.READS_SLOWLY),
        Kind("never read", 1, "unmatched", asked, frozenset({LEFT}), Manner.NEVER_READS),
    ]


def _small() -> list[Kind]:
    ok = frozenset({OK})
    return [
        Kind("no such path", 1, "unmatched", [_head("GET", "/nope")], frozenset({"404 not-found"})),
        Kind("liveness probe", 4, "/livez", [_head("GET", "/livez")], ok),
        Kind("readiness probe", 4, "/readyz", [_head("GET", "/readyz")], ok),
        Kind("scrape", 1, "/metrics", [_head("GET", "/metrics")], ok),
        Kind("picture to try", 2, "/random-image", [_head("GET", "/random-image")], ok),
    ]


def _or_full(*outcomes: str) -> frozenset[str]:
    return frozenset({*outcomes, FULL})


def _posts(target: str, bodies: Sequence[bytes]) -> list[bytes]:
    return [_post(target, body) for body in bodies]


def _post(target: str, body: bytes, kind: str = "image/jpeg", more: tuple[str, ...] = ()) -> bytes:
    length = f"Content-Length: {len(body)}"
    return _head("POST", target, f"Content-Type: {kind}", length, *more) + body


def _chunked(target: str, body: bytes) -> bytes:
    head = _head("POST", target, "Content-Type: image/jpeg", "Transfer-Encoding: chunked")
    return head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


def _head(method: str, target: str, *headers: str) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: 127.0.0.1", *headers, "", ""]
    return "\r\n".join(lines).encode()


def _form(*pictures: bytes) -> bytes:
    head = f'--{FRONTIER}\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'
    parts = [head.encode() + picture + b"\r\n" for picture in pictures]
    return b"".join(parts) + f"--{FRONTIER}--\r\n".encode()


def _large_png() -> bytes:
    """Of 121 megapixels, of which 120 are allowed, in some kilobytes."""
    written = io.BytesIO()
    Image.new("1", (11_000, 11_000)).save(written, "PNG")
    return written.getvalue()
