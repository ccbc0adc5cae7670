"""Headers are read on the event loop: any bytes take little time and memory."""

import random
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING

import pytest

from greengrocer.errors import ImageRefused
from greengrocer.imaging.formats import Format, read_header
from greengrocer.imaging.isobmff import LONGEST, Damaged, Meta
from support.grids import Grid
from support.stills import box, still

if TYPE_CHECKING:
    from _typeshed import TraceFunction

MAX_LINES = 300_000  # of Python that run, in about 15 ms
MEMORY = 4_000_000  # bytes
FREE = box(b"free", b"")
AUX = box(b"auxC", bytes(4) + b"urn:mpeg:hevc:2015:auxid:1\0")

HEAVY = {
    "one long property that all name": Grid(998, named=32, more=box(b"colr", bytes(19_000_000))),
    "all name all they may": Grid(998, named=32, more=AUX),
    "some name all they may": Grid(500, named=32, more=AUX, alphas=1000),
    "a tile in pieces that is shown often": Grid(1, 1990, 1990, size=(10_000, 10_000)),
    "tiles and references": Grid(998, alphas=2900, alpha_of=60_000, size=(10_000, 10_000)),
    "all may be transparency of two": Grid(998, alphas=1000, named=2, more=AUX),
    "many are transparency of the grid": Grid(500, alphas=1400, alpha_of=501, named=2, more=AUX),
    "boxes in every box": Grid(
        300, before=3000 * FREE, spare=3900 * FREE, more=3900 * FREE, alphas=1000
    ),
    "boxes with sizes of eight bytes": Grid(
        100, spare=3900 * (b"\0\0\0\1free" + (16).to_bytes(8, "big"))
    ),
    "empty boxes alone": Grid(before=2_000_000 * FREE),
    "a long property of each kind": Grid(
        998, named=8, more=b"".join(box(kind, bytes(2_000_000)) for kind in LONGEST)
    ),
}


@contextmanager
def lines() -> Iterator[Callable[[], int]]:
    """How many lines of Python have run."""
    count = 0

    def trace(_frame: FrameType, event: str, _argument: object) -> "TraceFunction":
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield lambda: count
    finally:
        sys.settrace(before)


def looked_at(data: bytes) -> int:
    """Lines that ``read_header`` runs, whether it takes the image or refuses it."""
    with lines() as ran:
        with suppress(ImageRefused):
            read_header(data)
        return ran()


def work(data: bytes) -> tuple[int, int]:
    """Bytes that ``read_header`` allocates at its peak, and lines that it runs."""
    tracemalloc.start()
    try:
        looked_at(data[:64])  # what is loaded once is none of it
        tracemalloc.reset_peak()
        with suppress(ImageRefused):
            read_header(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    return peak, looked_at(data)


@pytest.mark.parametrize("name", HEAVY)
def test_a_still_of_many_parts_takes_little_time_and_memory(name: str) -> None:
    data = HEAVY[name].file()
    assert len(data) < 20_000_000
    peak, ran = work(data)
    assert peak < MEMORY
    assert ran < MAX_LINES


def test_any_combination_of_parts_takes_little_time() -> None:
    chance = random.Random(7)
    most = (0, 1, 30, 400, 998, 2000)
    taken = 0
    for _ in range(30):
        grid = Grid(
            tiles=chance.choice((1, 2, 50, 400, 998)),
            extents=chance.choice((1, 2, 30)),
            named=chance.choice((1, 2, 8, 32)),
            alphas=chance.choice(most),
            alpha_of=chance.choice((0, 1, 2, 60_000)),
            size=chance.choice(((512, 512), (10_000, 10_000))),
            more=AUX + chance.choice(most) * FREE,
            spare=chance.choice(most) * FREE,
            before=chance.choice(most) * FREE,
        )
        assert looked_at(grid.file()) < MAX_LINES, grid
        with suppress(ImageRefused):
            taken += read_header(grid.file()).width > 0
    assert 0 < taken < 30


@pytest.mark.parametrize("tiles", [1, 48, 450])
def test_grids_of_real_cameras_are_accepted(tiles: int) -> None:
    assert read_header(Grid(tiles, named=6, more=AUX).file()).format is Format.HEIC


def test_an_ignored_property_may_be_of_any_size() -> None:
    profile = box(b"colr", b"prof" + bytes(3_000_000))
    assert read_header(Grid(named=2, more=profile).file()).format is Format.HEIC


@pytest.mark.parametrize("kind", LONGEST)
def test_too_long_a_property_is_refused(kind: bytes) -> None:
    data = Grid(named=2, more=box(kind, bytes(LONGEST[kind] + 1))).file()
    with pytest.raises(ImageRefused, match=f"{kind.decode()}.*too long"):
        read_header(data)


def test_overlapping_extents_of_an_item_are_refused() -> None:
    grid = Grid(1, extents=100, length=1000, spare=box(b"free", bytes(2000)))
    with pytest.raises(ImageRefused, match="bytes too often"):
        read_header(grid.file())


def test_ignored_boxes_do_not_reach_the_decoder() -> None:
    meta = Meta(still("HEIC") + 5000 * FREE + box(b"moov", b""))
    with pytest.raises(Damaged, match="boxes"):
        list(meta.boxes())
