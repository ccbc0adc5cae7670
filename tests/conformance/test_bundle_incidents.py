"""Incidents with hostile bundles whose checksums are right."""

import pickle
import shutil
import subprocess
from pathlib import Path

import pytest

from greengrocer.bundles.manifest import GRAPH, read_manifest
from greengrocer.engines.engine import ONE_THREAD
from greengrocer.engines.onnx_engine import OnnxEngine
from greengrocer.errors import BundleRefused
from support.bundles import digests
from support.graphs import write_onnx_bundle
from support.hostile import external_data
from support.make_images import jpeg
from support.orders import reload
from support.servers import START_SECONDS, StartServer, clean_environment, serve_command
from support.wire import exchange, post


class Toucher:
    """Unpickled, it leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.mark,)


def start(directory: Path, graph: bytes) -> None:
    (directory / GRAPH).write_bytes(graph)
    manifest = read_manifest(directory)
    files = manifest.files | digests(directory, GRAPH)  # its checksums are right
    OnnxEngine(directory, manifest.model_copy(update={"files": files}), "cpu", ONE_THREAD).start()


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


@pytest.mark.accept
@pytest.mark.parametrize("kind", ["zip", "tar", "gztar"])
def test_bundle_extraction_cve_2026_27905_and_kin_an_archive_is_no_bundle(
    serve: StartServer, runtime: Path, tmp_path: Path, kind: str
) -> None:
    """Refused in one line, at the start and while another serves on; nothing is unpacked."""
    bundle = write_onnx_bundle(tmp_path / "greys")
    archive = Path(shutil.make_archive(str(tmp_path / "packed"), kind, bundle))
    here = sorted(tmp_path.iterdir())
    done = subprocess.run(
        serve_command(archive),
        capture_output=True,
        text=True,
        env=clean_environment(),
        cwd=tmp_path,
        check=False,
        timeout=START_SECONDS,
    )
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2
    server = serve("--bundle", str(bundle), XDG_RUNTIME_DIR=str(runtime))
    told = reload(server, runtime, archive)
    assert not told["ok"]
    for refusal in (line, str(told["error"])):
        assert f"{archive.name} is not a directory" in refusal
        assert "\n" not in refusal
    assert exchange(server.url, post(jpeg(250))).status == 200
    assert sorted(tmp_path.iterdir()) == here
