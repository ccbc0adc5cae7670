"""The copies of bundles in the runtime directory: of those that serve, and of no others."""

from pathlib import Path

from greengrocer.bundles.manifest import read_manifest, write_manifest
from greengrocer.serving.reloading.control import Message, ask
from greengrocer.serving.workers.bundle_store import COPIES
from support.bundles import write_fake_bundle
from support.workers import StartWorkers


def test_a_refused_change_leaves_no_copy(
    supervise: StartWorkers, bundle: Path, tmp_path: Path, runtime: Path
) -> None:
    control = runtime / "greengrocer.sock"
    workers = supervise(1, "--control-socket", str(control))

    def ordered(**order: object) -> Message:
        return ask(control, order)

    def copies() -> int:
        return len([*(workers.directory / COPIES).iterdir()])

    assert ordered(order="load", model="shop", bundle=str(bundle))["ok"]
    assert copies() == 2
    other = write_fake_bundle(tmp_path / "other")
    write_manifest(read_manifest(other).model_copy(update={"name": "shop"}), other)
    for refused in (
        {"order": "load", "bundle": str(bundle)},  # its own name is taken
        {"order": "reload", "bundle": str(other)},
    ):
        assert "a model" in ordered(**refused)["error"]
        assert copies() == 2
    assert ordered(order="unload", model="shop")["ok"]
    assert copies() == 1
