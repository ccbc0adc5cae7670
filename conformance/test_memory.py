"""A refused request takes little memory at its peak, and leaves none behind."""

from collections.abc import Callable
from functools import cache

import pytest

from conformance import pngs
from conformance.forms import END, FORM, form, part
from conformance.jpegs import with_size
from conformance.limits import BODY, PATIENCE
from conformance.photos import encoded, jpeg, photo, plain
from conformance.processes import Processes
from conformance.tensors import asking, behind, image, infer, model, packed
from conformance.watches import health_stays_quick, little_memory
from conformance.wire import SECONDS, Wire, chunked, exchange, head, post

SIDE = (2400, 2400)  # pixels: 23 megabytes in RGBA
TIMES = 20  # enough for a leak to show
CUT = 400  # bytes that the end lacks
UPLOAD = bytes(8_000_000)
SLOW = 8  # uploads at once
FLOOD = 270_000  # bytes of small requests: more than one read takes
FLOODS = 60


@cache
def png(depth: int = 8, colour: int = pngs.RGBA) -> bytes:
    """A large PNG without its end."""
    return pngs.blank(SIDE, depth=depth, colour=colour)[:-CUT]


def half(kind: str, **options: object) -> bytes:
    """The first half of a large image."""
    whole = encoded(photo(1, SIDE), kind, **options)
    return whole[: len(whole) // 2]


def palette() -> bytes:
    """A large PNG of few colours, without its end."""
    return encoded(plain(9, SIDE).quantize(4), "PNG", compress_level=1)[:-CUT]


def zeros() -> bytes:
    """A JPEG whose second half is zeros."""
    start = half("JPEG", progressive=True)
    return start + bytes(len(start))


PICTURES: dict[str, Callable[[], bytes]] = {
    "png": png,
    "png of 16 bits": lambda: png(16, pngs.GREY),
    "palette": palette,
    "webp": lambda: half("WEBP", method=0),
    "lossless webp": lambda: half("WEBP", method=0, lossless=True),
    "jpeg": lambda: half("JPEG"),
    "progressive jpeg": lambda: half("JPEG", progressive=True),
    "jpeg and zeros": zeros,
    "too many pixels": lambda: with_size(jpeg(plain(1)), 60_000, 60_000),
    "no image": lambda: UPLOAD,
    "an old format": lambda: b"GIF89a" + UPLOAD,
}


def batch(picture: bytes) -> bytes:
    """Five of it in one request."""
    return post(form(*[part(picture)] * 5), kind=FORM, target="/predict/batch")


def behind_json(path: str, picture: bytes) -> bytes:
    """The image as a binary tensor."""
    tail = packed(picture)
    return infer(path, asking(behind(image(picture), len(tail))), tail)


# How an image that is refused may come, by the path of the model.
WAYS: dict[str, tuple[int, Callable[[str], bytes]]] = {
    "form": (400, lambda _: post(form(part(png())), kind=FORM)),
    "in chunks": (400, lambda _: chunked(png(), 1 << 16)),
    "batch": (200, lambda _: batch(png())),
    "map": (400, lambda _: post(png(), target="/explain")),
    "evidence": (400, lambda _: post(png(), target="/predict?explain=true")),
    "deadline": (504, lambda _: post(png(), "X-Deadline-Ms: 1")),
    "tensors": (400, lambda path: infer(path, asking(image(png())))),
    "tensors behind": (400, lambda path: behind_json(path, png())),
}
# What is refused before there is an image.
UPLOADS: dict[str, tuple[int, Callable[[str], bytes]]] = {
    "too many bytes": (413, lambda _: post(bytes(BODY + 1))),
    "too many in chunks": (413, lambda _: chunked(bytes(BODY + 1), 1 << 16)),
    "too many in a form": (413, lambda _: post(form(part(bytes(BODY + 1))), kind=FORM)),
    "a form without its end": (400, lambda _: post(form(part(UPLOAD))[: -len(END)], kind=FORM)),
    "two for one": (422, lambda _: post(form(part(UPLOAD), part(UPLOAD)), kind=FORM)),
    "another type": (415, lambda _: post(UPLOAD, kind="application/json")),
    "no base64": (400, lambda path: infer(path, asking(image(data=["?" * 8_000_000], shape=[1])))),
    "half a JSON": (400, lambda path: infer(path, asking(image(UPLOAD))[:-1])),
    "a long id": (400, lambda path: infer(path, asking(image(UPLOAD), id="x" * 8_000_000))),
}
# Small requests, of which many come at once.
FLOODED: dict[str, tuple[int, Callable[[str], bytes]]] = {
    "health": (200, lambda _: head("GET", "/livez")),
    "no such path": (404, lambda _: head("GET", "/nope")),
    "no image": (415, lambda _: post(b"GIF89a")),
    "no form": (400, lambda _: post(b"x", kind=FORM)),
    "no batch": (400, lambda _: post(b"x", kind=FORM, target="/predict/batch")),
    "no map": (415, lambda _: post(b"GIF89a", target="/explain")),
    "no tensors": (400, lambda path: infer(path, b"{}")),
}


def again_and_again(url: str, service: Processes, request: bytes, status: int) -> None:
    """Send it once to warm up, and then many times within little memory."""
    assert exchange(url, request).status == status
    with little_memory(service):
        for _ in range(TIMES):
            assert exchange(url, request).status == status


@pytest.mark.parametrize("name", PICTURES)
def test_images_that_are_refused_leave_nothing(
    base_url: str, service: Processes, name: str
) -> None:
    request = post(PICTURES[name]())
    status = exchange(base_url, request).status
    assert status in (400, 413, 415)
    again_and_again(base_url, service, request, status)


@pytest.mark.parametrize("name", WAYS)
def test_an_image_that_is_refused_leaves_nothing_whichever_way_it_comes(
    base_url: str, service: Processes, name: str
) -> None:
    status, build = WAYS[name]
    again_and_again(base_url, service, build(model(base_url)), status)


@pytest.mark.parametrize("name", UPLOADS)
def test_uploads_that_are_refused_leave_nothing(
    base_url: str, service: Processes, name: str
) -> None:
    status, build = UPLOADS[name]
    again_and_again(base_url, service, build(model(base_url)), status)


@pytest.mark.wire
def test_uploads_that_stand_still_leave_nothing(base_url: str, service: Processes) -> None:
    with little_memory(service):
        for _ in range(2):
            slow = [Wire(base_url, PATIENCE + SECONDS).send(post(UPLOAD)[:-1]) for _ in range(SLOW)]
            assert {wire.answer().status for wire in slow} == {408}
            for wire in slow:
                wire.close()


@pytest.mark.wire
@pytest.mark.parametrize("name", FLOODED)
def test_a_flood_of_pipelined_requests_takes_little_memory_and_delays_nobody(
    base_url: str, service: Processes, name: str
) -> None:
    status, build = FLOODED[name]
    request = build(model(base_url))
    flood = request * (FLOOD // len(request))
    with health_stays_quick(base_url), little_memory(service):
        wires = [Wire(base_url) for _ in range(FLOODS)]
        for wire in wires:
            wire.send(flood)
        for wire in wires:
            assert wire.answer().status == status
        for wire in wires:
            wire.close()
