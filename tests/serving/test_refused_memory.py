"""Refused images and uploads leave no memory behind, wherever they were refused."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import conformance.wire
import pytest
from PIL import Image

from support.forms import FORM, form, part
from support.make_images import encoded, jpeg, photo
from support.poison import environment as poison_environment
from support.poison.engine import FAILS
from support.processes import tree
from support.servers import Server, StartServer
from support.tensors import asking, binary, image, infer, packed
from support.wire import Wire, head, post

TIMES = 40
SIDE = 2400  # pixels: 23 MB in RGBA
KEPT = 60_000  # kilobytes: less than three images, where forty would be ten times as much
CUT = 400  # bytes that the end lacks


class Memory(NamedTuple):
    """Kilobytes of a process: the most there ever were, and now."""

    peak: int
    now: int


def memory(pid: int) -> Memory:
    status = Path(f"/proc/{pid}/status").read_text()
    found = [re.search(rf"{name}:\s+(\d+) kB", status) for name in ("VmHWM", "VmRSS")]
    return Memory(*(int(each[1]) for each in found if each))


def flat(mode: str = "RGBA", level: int = 250, side: int = SIDE) -> Image.Image:
    return Image.new("RGB", (side, side), (level,) * 3).convert(mode)


def noisy(seed: int = 1) -> bytes:
    """A PNG of many bytes, which takes a while."""
    return encoded(Image.effect_noise((SIDE, SIDE), 100 + seed), "PNG", compress_level=1)


def cut_png(mode: str = "RGBA") -> bytes:
    return encoded(flat(mode), "PNG", compress_level=1)[:-CUT]


def cut_webp(**options: object) -> bytes:
    whole = encoded(photo(1, (SIDE, SIDE)), "WEBP", method=0, **options)
    return whole[: len(whole) // 2]


def broken_jpeg() -> bytes:
    """Progressive, so that it is decoded whole; its last scans are missing."""
    whole = encoded(photo(1, (SIDE, SIDE)), "JPEG", progressive=True)
    return whole[: len(whole) // 2]


def upload(body: bytes, kind: str = FORM, target: str = "/predict") -> bytes:
    return head("POST", target, f"Content-Type: {kind}", f"Content-Length: {len(body)}") + body


def as_png(picture: bytes, *headers: str, target: str = "/predict") -> bytes:
    return post(picture, *headers, target=target)


def tail(picture: bytes) -> bytes:
    data = packed(picture)
    return infer(asking(binary("image", "BYTES", [1], len(data))), data)


def batch(picture: bytes) -> bytes:
    return upload(form(*[part(picture)] * 5), target="/predict/batch")


def failing() -> bytes:
    return encoded(flat(level=FAILS), "PNG", compress_level=1)


MEGABYTES = bytes(8_000_000)
REFUSED: dict[str, tuple[Callable[[], bytes], int]] = {
    "png": (lambda: as_png(cut_png()), 400),
    "png-of-16-bits": (lambda: as_png(encoded(flat("I;16"), "PNG")[:-CUT]), 400),
    "palette": (lambda: as_png(cut_png("P")), 400),
    "webp": (lambda: as_png(cut_webp()), 400),
    "lossless-webp": (lambda: as_png(cut_webp(lossless=True)), 400),
    "jpeg": (lambda: as_png(broken_jpeg()), 400),
    "explain": (lambda: as_png(cut_png(), target="/explain"), 400),
    "form": (lambda: upload(form(part(cut_png()))), 400),
    "infer": (lambda: infer(asking(image(cut_png()))), 400),
    "infer-binary": (lambda: tail(cut_png()), 400),
    "deadline": (lambda: as_png(noisy(), "X-Deadline-Ms: 1"), 504),
    "repeated-field": (lambda: upload(form(part(MEGABYTES), part(MEGABYTES))), 422),
    "malformed-form": (lambda: upload(form(part(MEGABYTES))[:-20]), 400),
    "too-many-bytes": (lambda: upload(form(part(bytes(20_050_000)))), 413),
    "not-base64": (lambda: infer(asking({**image(b""), "data": ["?" * 8_000_000]})), 400),
    "failure": (lambda: as_png(failing()), 500),
    "explained-failure": (lambda: as_png(failing(), target="/explain"), 500),
    "batch": (lambda: batch(cut_png()), 200),
    "failing-batch": (lambda: batch(failing()), 200),
}


def poisonable(serve: StartServer, bundle: Path, *flags: str) -> Server:
    """A service with one thread, whose engine fails for images of a certain grey."""
    usual = ("--bundle", str(bundle), "--engine", "fake", "--threads", "1")
    return serve(*usual, *flags, **poison_environment())


def assert_nothing_stays(server: Server, refuse: Callable[[], None]) -> None:
    """After some refusals, forty more take no more memory, at their peak or at rest."""
    for _ in range(2):
        refuse()
    pids = tree(server.process.pid)
    before = {pid: memory(pid) for pid in pids}
    for _ in range(TIMES):
        refuse()
    for pid in pids:
        after = memory(pid)
        assert after.peak < before[pid].peak + KEPT, (before[pid], after)
        assert after.now < before[pid].now + KEPT, (before[pid], after)


def test_a_truncated_image_leaves_no_memory_behind(serve: StartServer, fake_bundle: Path) -> None:
    server, request = poisonable(serve, fake_bundle), as_png(cut_png())
    assert_nothing_stays(server, lambda: refused(server, request, 400))


def refused(server: Server, request: bytes, expected: int) -> None:
    with conformance.wire.Wire(server.url) as wire:  # which takes what a batch is answered, too
        assert wire.send(request).answer().status == expected


@pytest.mark.accept
@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("workers", [None, 1])
def test_refused_images_are_freed(
    serve: StartServer, fake_bundle: Path, kind: str, workers: int | None
) -> None:
    flags = ["--workers", str(workers)] if workers else []
    server = poisonable(serve, fake_bundle, *flags)
    server.until_serving(workers or 1)
    make, expected = REFUSED[kind]
    request = make()

    assert_nothing_stays(server, lambda: refused(server, request, expected))


@pytest.mark.accept
def test_an_image_over_its_time_budget_leaves_no_memory_behind(
    serve: StartServer, fake_bundle: Path
) -> None:
    server = poisonable(serve, fake_bundle, "--decode-timeout-seconds", "0.01")
    request = as_png(noisy())
    assert_nothing_stays(server, lambda: refused(server, request, 400))


@pytest.mark.accept
@pytest.mark.parametrize("workers", [None, 1])
def test_a_disconnected_client_leaves_no_memory_behind(
    serve: StartServer, fake_bundle: Path, workers: int | None
) -> None:
    flags = ["--workers", str(workers)] if workers else []
    server = poisonable(serve, fake_bundle, *flags)
    server.until_serving(workers or 1)
    request, last = as_png(noisy()), post(jpeg(250))

    def leave() -> None:
        with Wire(server.url) as wire:
            wire.send(request)
        refused(server, last, 200)  # behind it, for there is one thread

    assert_nothing_stays(server, leave)


@pytest.mark.accept
def test_a_slow_upload_leaves_no_memory_behind(serve: StartServer, fake_bundle: Path) -> None:
    server = poisonable(serve, fake_bundle, "--upload-grace-seconds", "0.1")
    cut = post(MEGABYTES)[:-1]
    assert_nothing_stays(server, lambda: refused(server, cut, 408))


@pytest.mark.accept
def test_a_batch_of_truncated_images_takes_the_memory_of_those_decoded_at_once(
    serve: StartServer, fake_bundle: Path
) -> None:
    server = serve("--bundle", str(fake_bundle), "--engine", "fake", "--threads", "2")
    before = memory(server.process.pid)
    large = encoded(flat(side=7070), "PNG", compress_level=6)[:-CUT]
    refused(server, upload(form(*[part(large)] * TIMES), target="/predict/batch"), 200)
    after = memory(server.process.pid)
    assert after.peak < before.peak + 1_000_000  # two at once; all would be 8,000,000
    assert after.now < before.now + KEPT
