"""Incidents that no client can provoke, but who makes a bundle can; its checksums are right."""

import pickle
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto

from greengrocer.bundles.manifest import GRAPH, read_manifest
from greengrocer.engines.engine import ONE_THREAD
from greengrocer.engines.onnx_engine import OnnxEngine
from greengrocer.errors import BundleRefused
from support.graphs import grey_graph, write_onnx_bundle


class Toucher:
    """Unpickled, it leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.mark,)


def start(directory: Path, graph: bytes) -> None:
    (directory / GRAPH).write_bytes(graph)
    OnnxEngine(directory, read_manifest(directory), "cpu", ONE_THREAD).start()


def with_external_data(location: str) -> bytes:
    """A graph the centres of whose classes are in another file."""
    model = onnx.load_from_string(grey_graph())
    (centres,) = (tensor for tensor in model.graph.initializer if tensor.name == "centres")
    length = len(centres.raw_data)
    centres.ClearField("raw_data")
    centres.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", str(length))):
        entry = centres.external_data.add()
        entry.key, entry.value = key, value
    graph: bytes = model.SerializeToString()
    return graph


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
        start(bundle, with_external_data(where.get(place, place)))
