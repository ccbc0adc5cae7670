"""Incidents that no client can provoke, but who makes a bundle can; its checksums are right."""

import pickle
from pathlib import Path

import pytest

from greengrocer.bundles.manifest import GRAPH, read_manifest
from greengrocer.engines.engine import ONE_THREAD
from greengrocer.engines.onnx_engine import OnnxEngine
from greengrocer.errors import BundleRefused
from support.graphs import write_onnx_bundle
from support.hostile import external_data


class Toucher:
    """Unpickled, it leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.mark,)


def start(directory: Path, graph: bytes) -> None:
    (directory / GRAPH).write_bytes(graph)
    OnnxEngine(directory, read_manifest(directory), "cpu", ONE_THREAD).start()


def test_pickle_cve_2025_32434_and_kin_a_pickled_graph_is_refused_and_leaves_no_mark(
    tmp_path: Path,
) -> None:
    mark = tmp_path / "mark"
    pickle.loads(pickle.dumps(Toucher(mark)))
    mark.unlink()  # it does what it is for
    with pytest.raises(BundleRefused, match="does not load"):
        start(write_onnx_bundle(tmp_path / "greys"), pickle.dumps(Toucher(mark)))
    assert not mark.exists()


@pytest.mark.parametrize("place", ["beside", "above", "absolute", "link"])
def test_onnx_cve_2024_27318_and_kin_external_data_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Also CVE-2025-51480, CVE-2026-34447: what a graph in memory names, it would look for here."""
    bundle = write_onnx_bundle(tmp_path / "greys")
    for directory in (tmp_path, bundle):
        (directory / "centres").write_bytes(bytes(1000))
    (bundle / "link").symlink_to(tmp_path / "centres")
    monkeypatch.chdir(bundle)
    where = {"beside": "centres", "above": "../centres", "absolute": f"{tmp_path}/centres"}
    with pytest.raises(BundleRefused, match="does not load"):
        start(bundle, external_data(where.get(place, place)))
