import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from fake_engine import FakeEngine
from greengrocer.context import Context
from greengrocer.engines.batcher import Batcher, BatchLimits
from greengrocer.engines.engine import Inference
from greengrocer.errors import ClientDisconnected, DeadlineExceeded
from greengrocer.imaging.geometry import Pixels
from support.engines import HeldEngine
from support.live import engine_of
from support.waiting import SECONDS, until

POISON = 99


class RecordingEngine(HeldEngine):
    """Notes the size of each batch, and fails for all of it where POISON is in one."""

    def hold(self) -> "RecordingEngine":
        super().hold()
        self.sizes: list[int] = []
        return self

    def infer(self, pixels: Pixels, alone: bool = False) -> Inference:
        self.sizes.append(len(pixels))
        inference = super().infer(pixels, alone)
        if (pixels == POISON).all(axis=(1, 2, 3)).any():
            raise ValueError("poisoned")
        return inference


class Crowd:
    """Threads that each bring one image to a batcher whose engine is held."""

    def __init__(self, engine: RecordingEngine, batcher: Batcher, pool: ThreadPoolExecutor) -> None:
        self.engine = engine
        self.batcher = batcher
        self.pool = pool

    def occupy(self) -> Future[Inference]:
        """Let the engine be busy with an image of its own."""
        first = self.pool.submit(self.batcher.infer, grey(5), Context())
        assert self.engine.busy.wait(SECONDS)
        return first

    def bring(self, *levels: int, context: Context | None = None) -> list[Future[Inference]]:
        """Images that are queued when this returns, in this order."""
        brought: list[Future[Inference]] = []
        already = len(self.batcher._queue)
        for level in levels:
            asked = self.pool.submit(self.batcher.infer, grey(level), context or Context())
            brought.append(asked)
            until(lambda: len(self.batcher._queue) == already + len(brought))
        return brought


def grey(level: int) -> Pixels:
    return np.full((32, 32, 3), level, np.uint8)


def best(inference: Inference) -> int:
    assert len(inference.probabilities) == 1
    return int(inference.probabilities[0].argmax())


@pytest.fixture
def crowd(fake_bundle: Path) -> Iterator[Callable[..., Crowd]]:
    """A crowd for a batcher with certain limits."""
    crowds: list[Crowd] = []

    def gather(largest: int, wait: float = 0.0) -> Crowd:
        engine = engine_of(RecordingEngine, fake_bundle)
        engine.hold()
        batcher = Batcher(engine, BatchLimits(largest, wait))
        crowds.append(Crowd(engine, batcher, ThreadPoolExecutor(16)))
        return crowds[-1]

    yield gather
    for made in crowds:
        made.engine.release.set()
        made.pool.shutdown()
        made.batcher.close()


def test_what_is_queued_while_the_engine_is_busy_runs_together(crowd: Callable[..., Crowd]) -> None:
    made = crowd(largest=4)
    first = made.occupy()
    others = made.bring(30, 60, 90, 120, 150, 180)
    made.engine.release.set()
    assert [best(other.result(SECONDS)) for other in others] == [1, 2, 3, 4, 5, 7]
    assert best(first.result(SECONDS)) == 0
    assert made.engine.sizes == [1, 4, 2]


def test_an_image_alone_does_not_wait_for_others(crowd: Callable[..., Crowd]) -> None:
    made = crowd(largest=4)
    made.engine.release.set()
    assert best(made.batcher.infer(grey(250), Context())) == 9
    assert made.engine.sizes == [1]


def test_with_a_wait_a_batch_goes_as_soon_as_it_is_full(crowd: Callable[..., Crowd]) -> None:
    made = crowd(largest=3, wait=SECONDS)
    made.engine.release.set()
    asked = [made.pool.submit(made.batcher.infer, grey(level), Context()) for level in (1, 30, 60)]
    assert [best(one.result(SECONDS / 2)) for one in asked] == [0, 1, 2]
    assert made.engine.sizes == [3]


def test_after_its_wait_an_image_runs_alone(crowd: Callable[..., Crowd]) -> None:
    made = crowd(largest=3, wait=0.01)
    made.engine.release.set()
    assert best(made.batcher.infer(grey(100), Context())) == 3
    assert made.engine.sizes == [1]


def test_a_poisonous_image_harms_only_itself(crowd: Callable[..., Crowd]) -> None:
    made = crowd(largest=8)
    made.occupy()
    good, bad, fine = made.bring(30, POISON, 250)
    made.engine.release.set()
    assert [best(one.result(SECONDS)) for one in (good, fine)] == [1, 9]
    with pytest.raises(ValueError, match="poisoned"):
        bad.result(SECONDS)
    assert made.engine.sizes == [1, 3, 1, 1, 1], "each was tried alone, once"
    assert best(made.batcher.infer(grey(1), Context())) == 0


def test_who_left_or_is_too_late_never_reaches_the_engine(crowd: Callable[..., Crowd]) -> None:
    made = crowd(largest=8)
    made.occupy()
    leaving, late = Context(), Context(seconds=0.001)
    (left,) = made.bring(30, context=leaving)
    (expired,) = made.bring(60, context=late)
    (served,) = made.bring(250)
    leaving.cancel()
    until(lambda: late.remaining() <= 0)
    made.engine.release.set()
    assert best(served.result(SECONDS)) == 9
    with pytest.raises(ClientDisconnected):
        left.result(SECONDS)
    with pytest.raises(DeadlineExceeded):
        expired.result(SECONDS)
    assert made.engine.sizes == [1, 1]


def test_closing_finishes_what_is_queued_and_ends_the_thread(crowd: Callable[..., Crowd]) -> None:
    made = crowd(largest=2, wait=0.01)
    first = made.occupy()
    others = made.bring(30, 60, 90)
    closing = made.pool.submit(made.batcher.close)
    made.engine.release.set()
    closing.result(SECONDS)
    assert [best(one.result(SECONDS)) for one in (first, *others)] == [0, 1, 2, 3]
    assert not made.batcher._thread.is_alive()


def test_an_idle_batcher_does_not_wake_up(crowd: Callable[..., Crowd]) -> None:
    made = crowd(largest=4, wait=0.01)
    made.engine.release.set()
    made.batcher.infer(grey(1), Context())
    native = made.batcher._thread.native_id

    def switches() -> list[str]:
        lines = Path(f"/proc/self/task/{native}/status").read_text().splitlines()
        return [line for line in lines if "ctxt_switches" in line]

    def asleep() -> bool:
        state = Path(f"/proc/self/task/{native}/stat").read_text().rpartition(")")[2].split()[0]
        return state == "S"

    until(asleep)
    before = switches()
    threading.Event().wait(0.3)  # in which a thread that polls would show itself
    assert switches() == before


def test_each_batch_is_told_with_the_waits_of_its_images(fake_bundle: Path) -> None:
    told: list[Sequence[float]] = []
    batcher = Batcher(engine_of(FakeEngine, fake_bundle), BatchLimits(4), told.append)
    batcher.infer(grey(1), Context())
    batcher.close()
    assert [len(waits) for waits in told] == [1]
    assert 0 <= told[0][0] < SECONDS


def test_an_answer_does_not_depend_on_its_neighbours(crowd: Callable[..., Crowd]) -> None:
    made = crowd(largest=8)
    alone = FakeEngine.infer(made.engine, grey(100)[None])
    made.occupy()
    _, among, _ = made.bring(30, 100, 250)
    made.engine.release.set()
    for found, expected in zip(among.result(SECONDS), alone, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_whatever_fails_beside_the_engine_the_next_image_is_answered(fake_bundle: Path) -> None:
    fails = iter([True, False])

    def told(_: Sequence[float]) -> None:
        if next(fails):
            raise MemoryError("no room to count")

    batcher = Batcher(engine_of(FakeEngine, fake_bundle), BatchLimits(4), told)
    with pytest.raises(MemoryError, match="to count"):
        batcher.infer(grey(250), Context())
    assert best(batcher.infer(grey(250), Context())) == 9
    batcher.close()
