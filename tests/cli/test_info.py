import json
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

from greengrocer import __version__
from greengrocer.bundles.manifest import GRAPH, MANIFEST, read_manifest

Command = Callable[..., CompletedProcess[str]]


def test_a_bundle_is_described(greengrocer: Command, fake_bundle: Path) -> None:
    done = greengrocer("info", "--bundle", fake_bundle)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"greys 1, verified, 0.0 MB, in {fake_bundle}\n" in done.stdout
    assert "10 fine, 2 coarse\n" in done.stdout
    assert "32 x 32 pixels, squeeze\n" in done.stdout
    assert "a score of at least 0.500\n" in done.stdout


def test_json_is_the_whole_manifest(greengrocer: Command, fake_bundle: Path) -> None:
    found = json.loads(greengrocer("info", "--bundle", fake_bundle, "--json").stdout)
    sizes = [(fake_bundle / name).stat().st_size for name in (GRAPH, "golden.jpg")]
    assert found == {
        "greengrocer": __version__,
        "directory": str(fake_bundle),
        "bytes": sum(sizes),
        **read_manifest(fake_bundle).model_dump(mode="json"),
    }


def test_a_damaged_bundle_is_refused_in_one_line(
    greengrocer: Command, fake_bundle: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(fake_bundle, tmp_path / "copy")
    (copy / GRAPH).write_bytes(b"changed")
    done = greengrocer("info", "--bundle", copy)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert GRAPH in done.stderr
    (copy / MANIFEST).unlink()
    assert greengrocer("info", "--bundle", copy).returncode == 2
