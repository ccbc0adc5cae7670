"""Kinds of requests, good and bad, each with its allowed outcomes."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from soak.messages import FORM, behind, form, head, in_json, post, posts

MEGABYTE = 1_000_000  # the service's --max-image-bytes

OK = "200"
FULL = "429 overloaded"
LEFT = "left"  # the client disconnected before it had read an answer
UNKNOWN, TAKEN_OVER = "404", "503"  # another model serves, or has come to serve meanwhile
FLOOD = 500  # requests that are sent at once, and as many bytes as one read takes
FLOOD_BYTES = 256_000
UNREAD = 6000  # of those after answers that are never read
ASSETS = 4  # 1.5 MB each: more than the system buffers for a client that does not read
ASSET = "/docs/assets/{name}"  # their route in the metrics
INFER = "/v2/models/{name}/infer"


class Manner(Enum):
    """How a client behaves."""

    WHOLE = "sends all, and reads the answer"
    STALLED = "sends half, and waits for an answer"
    LEAVES_SENDING = "sends half, and hangs up"
    LEAVES_WAITING = "sends all, and hangs up"
    PIPELINES = "sends many at once, and reads all the answers"
    READS_SLOWLY = "sends all, and reads the answer bit by bit"
    NEVER_READS = "sends all, reads nothing for a while, and hangs up"


@dataclass(frozen=True, eq=False)
class Kind:
    """One kind of request."""

    name: str
    weight: int  # how many of these there are beside the other kinds
    route: str | None  # as the service's metrics name it; None: it never becomes a request
    requests: Sequence[bytes]  # one of them is sent, whole or in part
    outcomes: frozenset[str]  # allowed while no process is killed
    manner: Manner = Manner.WHOLE
    times: int = 1  # requests in each of ``requests``: they end together, with one outcome


def kinds(images: Sequence[bytes], models: Sequence[str]) -> list[Kind]:
    """All but those that are refused, made of good ``images``, each of less than a megabyte.

    Of the ``models`` any may serve, and another after each reload.
    """
    rude = [*_rude(images), *_slow_readers()]
    return [*_good(images), *_tensors(images, models), *rude, *_floods(), *_small()]


def _good(images: Sequence[bytes]) -> list[Kind]:
    damaged = images[0][: len(images[0]) // 2]
    batches = [form(image, damaged, image) for image in images[:8]]
    return [
        Kind("picture", 40, "/predict", posts("/predict", images), or_full(OK)),
        Kind(
            "image in a form",
            8,
            "/predict",
            [post("/predict", form(image), FORM) for image in images],
            or_full(OK),
        ),
        Kind("explanation", 2, "/explain", posts("/explain", images), or_full(OK)),
        Kind(
            "batch with a damaged one",
            2,
            "/predict/batch",
            [post("/predict/batch", batch, FORM) for batch in batches],
            or_full(f"{OK} of 200, 400, 200"),
        ),
        Kind(
            "image in a hurry",
            4,
            "/predict",
            [post("/predict", image, more=("X-Deadline-Ms: 60",)) for image in images],
            or_full(OK, "504 deadline-exceeded"),
        ),
    ]


def _tensors(images: Sequence[bytes], models: Sequence[str]) -> list[Kind]:
    """Requests that name a model: they get 404 while another one serves."""
    paths = [INFER.format(name=model) for model in models]
    tails = [struct.pack("<I", len(each)) + each for each in images]
    sent = [*map(in_json, images), *map(behind, tails)]
    nothing = behind(bytes(MEGABYTE // 2))  # as many elements of no bytes as there is room for
    good = [post(path, *each) for path in paths for each in sent]
    bad = [post(path, *nothing) for path in paths]
    return [
        Kind("tensors", 8, INFER, good, frozenset({OK, "429", UNKNOWN, TAKEN_OVER})),
        Kind("tensors of nothing", 2, INFER, bad, frozenset({"400", "429", UNKNOWN})),
    ]


def _rude(images: Sequence[bytes]) -> list[Kind]:
    sent = posts("/predict", images)
    left = frozenset({LEFT})
    return [
        Kind(
            "stalled upload",
            1,
            "/predict",
            sent,
            frozenset({"408 slow-upload"}),
            Manner.STALLED,
        ),
        Kind(
            "stalled head",
            1,
            None,
            [head("GET", "/livez")],
            frozenset({"408 slow-head"}),
            Manner.STALLED,
        ),
        Kind("left while sending", 4, "/predict", sent, left, Manner.LEAVES_SENDING),
        Kind("left while waiting", 4, "/predict", sent, left, Manner.LEAVES_WAITING),
        Kind(
            "left a batch",
            1,
            "/predict/batch",
            [post("/predict/batch", form(*images[:8]), FORM)],
            left,
            Manner.LEAVES_WAITING,
        ),
    ]


def _slow_readers() -> list[Kind]:
    """They ask for a megabyte and a half, which no buffer between us holds."""
    asked = [head("GET", "/docs/assets/swagger-ui-bundle.js")]
    return [
        Kind("slow reader", 1, ASSET, asked, frozenset({OK}), Manner.READS_SLOWLY),
        Kind("never read", 1, ASSET, asked, frozenset({LEFT}), Manner.NEVER_READS),
    ]


def _floods() -> list[Kind]:
    """Pipelined requests. The route has no other kind: a killed process loses many at once."""
    padding = f"X-Padding: {'x' * (FLOOD_BYTES // FLOOD - 100)}"
    whole = head("GET", "/class-names", padding) * FLOOD
    answers = head("GET", "/docs/assets/swagger-ui-bundle.js") * ASSETS
    unread = [answers + head("GET", "/livez") * UNREAD]  # of which none may be answered
    return [
        Kind("flood", 1, "/class-names", [whole], frozenset({OK}), Manner.PIPELINES, FLOOD),
        Kind(
            "unread flood",
            2,
            ASSET,
            unread,
            frozenset({LEFT}),
            Manner.NEVER_READS,
            ASSETS,
        ),
    ]


def _small() -> list[Kind]:
    ok = frozenset({OK})
    return [
        Kind("no such path", 1, "unmatched", [head("GET", "/nope")], frozenset({"404 not-found"})),
        Kind("liveness probe", 4, "/livez", [head("GET", "/livez")], ok),
        Kind("readiness probe", 4, "/readyz", [head("GET", "/readyz")], ok),
        Kind("scrape", 1, "/metrics", [head("GET", "/metrics")], ok),
        Kind("image to try", 2, "/random-image", [head("GET", "/random-image")], ok),
    ]


def or_full(*outcomes: str) -> frozenset[str]:
    """These outcomes, or a refusal because the service is full."""
    return frozenset({*outcomes, FULL})
