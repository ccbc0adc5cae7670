from collections.abc import Callable
from pathlib import Path

import pytest

from greengrocer.assemble import loader
from greengrocer.engines.engine import ONE_THREAD, Threads
from greengrocer.errors import UsageError
from greengrocer.serving import threads
from greengrocer.serving.threads import (
    ENGINE_THREADS,
    MOST_ALONE,
    engine_threads,
    picture_threads,
)
from greengrocer.settings import Settings
from greengrocer.telemetry.metrics import Metrics
from support.graphs import write_onnx_bundle


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Set the variable, on a machine of eight processors."""
    monkeypatch.setattr(threads, "usable_processors", lambda: 8)
    monkeypatch.delenv(ENGINE_THREADS, raising=False)
    return lambda text: monkeypatch.setenv(ENGINE_THREADS, text)


def tasks() -> set[str]:
    return {task.name for task in Path("/proc/self/task").iterdir()}


@pytest.mark.usefixtures("say")
def test_every_processor_has_an_image_and_one_that_is_alone_has_several_of_them() -> None:
    assert engine_threads() == Threads(each=1, alone=MOST_ALONE)
    assert picture_threads() == 8


def test_one_processor_is_all_that_an_image_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "usable_processors", lambda: 1)
    monkeypatch.delenv(ENGINE_THREADS, raising=False)
    assert engine_threads() == ONE_THREAD


@pytest.mark.parametrize(
    ("text", "inside", "side_by_side"), [("1", 1, 8), ("2", 2, 4), ("3", 3, 2), ("9", 9, 1)]
)
def test_the_processors_are_shared_out_between_and_within_images(
    say: Callable[[str], None], text: str, inside: int, side_by_side: int
) -> None:
    say(text)
    assert engine_threads() == Threads(inside, inside)
    assert picture_threads() == side_by_side


def test_images_that_wait_for_a_batch_take_no_processor(say: Callable[[str], None]) -> None:
    assert picture_threads(largest_batch=32) == 8 + 64
    say("2")
    assert picture_threads(largest_batch=32) == 4 + 64


@pytest.mark.parametrize("text", ["0", "-1", "", "many", "1.5", "1025", "²", "1 "])
def test_a_number_that_is_none_is_refused_in_one_line(
    say: Callable[[str], None], text: str
) -> None:
    say(text)
    with pytest.raises(UsageError, match=f"{ENGINE_THREADS} is ") as refused:
        picture_threads()
    assert "\n" not in str(refused.value)


def test_the_session_has_the_threads_that_the_environment_says(
    say: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bundle = str(write_onnx_bundle(tmp_path / "greys"))

    def begun(inside: int | None) -> int:
        if inside is None:
            monkeypatch.delenv(ENGINE_THREADS)
        else:
            say(str(inside))
        before = tasks()
        pipeline, _ = loader(Settings(), Metrics())(bundle)
        after = tasks()
        pipeline.close()
        return len(after - before)

    begun(1)  # the library may start some of its own, once
    # The thread that brings the image is one of them.
    assert [begun(1), begun(4), begun(None)] == [0, 3, MOST_ALONE - 1]
