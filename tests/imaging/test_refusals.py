"""An image's error keeps no reference to its file, pixels or frames."""

import gc
import sys
import time
from collections.abc import Iterator
from types import TracebackType

import pytest
from PIL import Image

from conformance import pngs
from greengrocer.errors import DeadlineExceeded, ImageTooSlow, Refusal
from greengrocer.imaging.decode import DecodeLimits, decode
from support.make_images import encoded, photo

FILES = {kind: encoded(photo(2), kind, lossless=True) for kind in ("JPEG", "PNG", "WEBP")}
SLOW = DecodeLimits(seconds=0)
LARGE = DecodeLimits(pixels=100)
GREEDY = DecodeLimits(bytes=1_000_000)


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Cycles stay."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def refused(data: bytes, limits: DecodeLimits | None = None) -> BaseException:
    try:
        decode(data, None, limits)
    except Refusal as refusal:
        return refusal
    raise AssertionError("it was taken")


def frames(traceback: TracebackType | None) -> Iterator[dict[str, object]]:
    while traceback:
        yield traceback.tb_frame.f_locals
        traceback = traceback.tb_next


@pytest.mark.accept
@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("how", ["cut", "late", "slow", "large", "greedy", "twice", "junk"])
def test_a_refusal_keeps_no_reference_to_the_image(kind: str, how: str) -> None:
    whole = FILES[kind]
    data = {
        "cut": whole[: len(whole) // 2],
        "late": whole[:-400],
        "junk": whole[:40] + bytes(range(256)) * 10,
    }.get(how, whole)
    limits = {"slow": SLOW, "large": LARGE, "greedy": GREEDY}.get(how)
    if how == "greedy" and kind == "JPEG":
        limits = DecodeLimits(bytes=1000)
    if how == "twice":
        data = FILES["PNG"][:33] + FILES["PNG"][8:]
    data = data + b""
    held, pictures = sys.getrefcount(data), _pictures()
    refusal = refused(data, limits)
    assert sys.getrefcount(data) - held <= 1  # the frame of ``refused``, in the traceback
    assert refusal.__cause__ is None
    assert refusal.__context__ is None
    assert len(list(frames(refusal.__traceback__))) == 2
    assert _pictures() <= pictures


def _pictures() -> int:
    return sum(issubclass(type(each), Image.Image) for each in gc.get_objects())


@pytest.mark.accept
@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("error", [DeadlineExceeded("late"), MemoryError()])
def test_an_error_that_stops_the_decoder_keeps_no_reference_to_the_image(
    kind: str, error: BaseException
) -> None:
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise error

    pictures = _pictures()
    data = FILES[kind] + b"."
    held = sys.getrefcount(data)
    with pytest.raises(type(error)) as caught:
        decode(data, check=check)
    assert caught.value is error
    assert sys.getrefcount(data) == held
    assert error.__context__ is None
    assert _pictures() <= pictures


@pytest.mark.usefixtures("no_collector")
def test_a_refusal_midway_frees_the_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever holds the refusal may do so as long as they like."""
    data = pngs.blank((3000, 2000), colour=pngs.RGBA)
    calls, whole = 0, 10**9

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls == whole - 2:
            monkeypatch.setattr(time, "thread_time", lambda: 1e9)

    decode(data, check=check)
    whole, calls = calls, 0
    pictures = _pictures()
    with pytest.raises(ImageTooSlow):
        decode(data, check=check)
    assert calls == whole - 2
    assert _pictures() <= pictures
