"""Work with a stranger's graph in a process with limits, however it ends."""

import resource
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from greengrocer.cli import limited
from greengrocer.cli.limited import bounded_memory, run_limited
from greengrocer.errors import BundleRefused, UsageError
from greengrocer.importing.labels import read_labels
from greengrocer.serving.reloading.trial import limits_of

GRAPH = Path("m.onnx")


def test_work_that_ends_well_passes() -> None:
    run_limited(bytearray, [1000], GRAPH)


@pytest.mark.parametrize(
    ("work", "given", "said"),
    [
        (bytearray, 1 << 40, "m.onnx: its trial took over 1,000 MB of memory: export a"),
        (signal.raise_signal, signal.SIGALRM, "its trial took over 60 seconds: export a"),
        (signal.raise_signal, signal.SIGSEGV, "its trial ended by SIGSEGV"),
        (int, "x", "its trial failed: ValueError: invalid literal"),
        (read_labels, Path("nowhere.txt"), "nowhere.txt: No such file"),
    ],
)
def test_work_that_does_not_is_refused_in_a_line(
    work: Callable[..., object], given: object, said: str
) -> None:
    with pytest.raises(BundleRefused) as refused:
        run_limited(work, [given], GRAPH)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_larger_graph_may_take_more() -> None:
    assert limits_of(200_000_000) == (60 + 100, 1000 + 8 * 200)


def test_memory_of_this_process_is_bounded_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limited, "MEGABYTES", 100)
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with (
        pytest.raises(UsageError, match=r"m\.onnx took over 1,100 MB of memory: export a"),
        bounded_memory(0, "m.onnx"),
    ):
        bytearray(1_200_000_000)
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
