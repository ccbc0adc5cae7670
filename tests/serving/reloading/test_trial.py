"""A bundle's trial in its own process, however it ends."""

import sys
from pathlib import Path

import pytest

from greengrocer.bundles.manifest import read_manifest
from greengrocer.errors import BundleRefused, may_pass
from greengrocer.serving.reloading import trial
from support.graphs import write_onnx_bundle

pytestmark = pytest.mark.anyio

ENDS = {
    "a crash": ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "ended by SIGSEGV"),
    "a hang": ("import os, signal; os.kill(os.getpid(), signal.SIGALRM)", "took over 30 seconds"),
    "an error": ("raise MemoryError('all gone')", "failed: MemoryError: all gone"),
}


async def test_a_valid_bundle_passes(tmp_path: Path) -> None:
    await trial.try_bundle(str(write_onnx_bundle(tmp_path / "greys")))


async def test_the_shipped_bundles_pass() -> None:
    await trial.try_bundle("grocery")


async def test_a_refusal_of_the_trial_is_passed_on(tmp_path: Path) -> None:
    with pytest.raises(BundleRefused, match="there is no bundle"):
        await trial.try_bundle(str(tmp_path / "nowhere"))


async def test_a_refusal_tells_whether_it_may_pass(tmp_path: Path) -> None:
    bundle = write_onnx_bundle(tmp_path / "greys")
    golden = bundle / read_manifest(bundle).goldens[0].file
    golden.write_bytes(b"damaged")
    with pytest.raises(BundleRefused, match="has the SHA-256") as damaged:
        await trial.try_bundle(str(bundle))
    golden.unlink()
    with pytest.raises(BundleRefused, match="No such file") as unread:
        await trial.try_bundle(str(bundle))
    assert (may_pass(damaged.value), may_pass(unread.value)) == (False, True)


async def test_a_wrong_manifest_is_refused_without_a_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (write_onnx_bundle(tmp_path / "greys") / "manifest.json").write_text("{}")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    with pytest.raises(BundleRefused, match=r"manifest\.json: .*Field required"):
        await trial.try_bundle(str(tmp_path / "greys"))


@pytest.mark.parametrize("end", ENDS)
async def test_a_trial_that_crashes_or_hangs_is_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    program, told = ENDS[end]
    (tmp_path / "doomed.py").write_text(program)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(trial, "MODULE", "doomed")
    with pytest.raises(BundleRefused, match=f"bundle fast: its trial {told}") as refused:
        await trial.try_bundle("fast")
    assert "\n" not in str(refused.value)
