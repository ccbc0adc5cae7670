"""A bundle's trial in a process of its own, however that ends."""

from pathlib import Path

import pytest

from greengrocer.errors import BundleRefused
from greengrocer.serving.reloading import trial
from support.graphs import write_onnx_bundle

pytestmark = pytest.mark.anyio

ENDS = {
    "a crash": ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "ended by SIGSEGV"),
    "a hang": ("import os, signal; os.kill(os.getpid(), signal.SIGALRM)", "took over 30 seconds"),
    "an error": ("raise MemoryError('all gone')", "failed: MemoryError: all gone"),
}


async def test_a_sound_bundle_passes(tmp_path: Path) -> None:
    await trial.try_bundle(str(write_onnx_bundle(tmp_path / "greys")))


async def test_the_ones_that_ship_pass() -> None:
    await trial.try_bundle("grocery")


async def test_what_the_trial_refuses_is_told_in_its_words(tmp_path: Path) -> None:
    with pytest.raises(BundleRefused, match="there is no bundle"):
        await trial.try_bundle(str(tmp_path / "nowhere"))


@pytest.mark.parametrize("end", ENDS)
async def test_a_trial_that_does_not_end_well_is_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    program, told = ENDS[end]
    (tmp_path / "doomed.py").write_text(program)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(trial, "MODULE", "doomed")
    with pytest.raises(BundleRefused, match=f"bundle greys: its trial {told}") as refused:
        await trial.try_bundle("greys")
    assert "\n" not in str(refused.value)
