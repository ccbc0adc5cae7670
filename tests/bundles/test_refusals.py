"""Hostile bundles are refused in one line, at the start and on a reload."""

import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from greengrocer.assemble_pipeline import build_pipeline
from greengrocer.bundles import bundle as bundles
from greengrocer.bundles.bundle import load_bundle
from greengrocer.bundles.manifest import GRAPH, MANIFEST, read_manifest, write_manifest
from greengrocer.errors import BundleRefused
from greengrocer.serving.reloading import trial
from support import hostile
from support.bundles import digests
from support.graphs import grey_graph, write_onnx_bundle
from support.load import load
from support.make_images import jpeg
from support.orders import reload
from support.processes import children
from support.servers import START_SECONDS, Server, StartServer, clean_environment, serve_command

TERABYTES = 100 * 10**12
GIGABYTES = 3 * 10**9
EVERY_FILE = pytest.mark.parametrize("name", [MANIFEST, GRAPH, "golden.jpg"])

GRAPHS: dict[str, tuple[Callable[[], bytes], str]] = {
    "unknown operator": (hostile.unknown_operator, r"model\.onnx does not load: .*Frobnicate"),
    "unknown domain": (hostile.unknown_domain, r"model\.onnx does not load: .*com\.example"),
    "external data": (lambda: hostile.external_data("centres"), "does not load: .*centres"),
    "cut off": (lambda: grey_graph()[:300], r"model\.onnx does not load"),
    "another format": (lambda: b"\x20\0\0\0ORTM" + bytes(100), r"model\.onnx does not load"),
    "terabytes": (
        lambda: hostile.greedy(TERABYTES),
        r"golden\.jpg: .*memory|does not load: .*memory",
    ),
    "no number": (hostile.not_a_number, r"golden\.jpg: the model gives this image"),
}


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def device(path: Path) -> None:
    path.unlink()
    try:
        os.mknod(path, 0o600 | 0o020000, os.makedev(1, 5))  # /dev/zero, which never ends
    except PermissionError:
        pytest.skip("only root can make a device")


def local_socket(path: Path) -> None:
    path.unlink()
    short = Path(os.path.relpath(path))  # a socket's address has no room for pytest's directories
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(short))


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


NO_FILES = [pipe, device, local_socket, folder]


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sound bundle, beside which we stand: what a graph names may be found here."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "centres").write_bytes(bytes(1000))
    return write_onnx_bundle(tmp_path / "greys")


def refusal(directory: Path) -> str:
    with pytest.raises(BundleRefused) as refused:
        build_pipeline(load_bundle(directory))
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_the_unchanged_bundle_is_valid(bundle: Path) -> None:
    build_pipeline(load_bundle(bundle)).close()


@EVERY_FILE
@pytest.mark.parametrize("kind", NO_FILES, ids=lambda kind: kind.__name__)
def test_only_plain_files_are_opened(bundle: Path, name: str, kind: Callable[[Path], None]) -> None:
    kind(bundle / name)
    assert f"{name} is not a regular file" in refusal(bundle)


@pytest.mark.parametrize("name", [GRAPH, "golden.jpg"])
def test_too_large_a_file_is_not_read(bundle: Path, name: str) -> None:
    os.truncate(bundle / name, 10**9)
    assert f"{name} makes it larger than 200000000 bytes" in refusal(bundle)


def test_too_large_a_manifest_is_not_read(bundle: Path) -> None:
    os.truncate(bundle / MANIFEST, 10**9)
    assert "manifest.json is over 1048576 bytes" in refusal(bundle)


def test_the_size_of_all_files_together_is_bounded(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = [(bundle / name).stat().st_size for name in read_manifest(bundle).files]
    monkeypatch.setattr(bundles, "MAX_BYTES", sum(sizes))
    assert load_bundle(bundle)
    monkeypatch.setattr(bundles, "MAX_BYTES", sum(sizes) - 1)
    assert "makes it larger than" in refusal(bundle)


def test_a_duplicate_field_is_refused(bundle: Path) -> None:
    text = (bundle / MANIFEST).read_text()
    (bundle / MANIFEST).write_text(text.replace("{", '{"version": "2",', 1))
    assert "'version' is repeated" in refusal(bundle)
    (bundle / MANIFEST).write_text(text.replace('"files": {', f'"files": {{"{GRAPH}": "0",', 1))
    assert "is repeated" in refusal(bundle) or "files" in refusal(bundle)


def with_graph(bundle: Path, graph: bytes) -> Path:
    """The bundle with another graph, signed for."""
    (bundle / GRAPH).write_bytes(graph)
    files = digests(bundle, GRAPH, "golden.jpg")
    write_manifest(read_manifest(bundle).model_copy(update={"files": files}), bundle)
    return bundle


@pytest.mark.parametrize("kind", GRAPHS)
def test_an_invalid_graph_is_refused_with_the_reason(
    bundle: Path, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    make, why = GRAPHS[kind]
    with_graph(bundle, make())
    with pytest.raises(BundleRefused, match=why):
        build_pipeline(load_bundle(bundle))
    assert "\n" not in refusal(bundle)
    assert capfd.readouterr() == ("", "")  # nor does the runtime tell it once more


@pytest.mark.parametrize("kind", ["unknown operator", "external data", "terabytes"])
def test_starting_with_a_hostile_bundle_ends_in_one_line_with_exit_code_2(
    bundle: Path, kind: str
) -> None:
    make, _ = GRAPHS[kind]
    done = subprocess.run(
        serve_command(with_graph(bundle, make())),
        capture_output=True,
        text=True,
        env=clean_environment(),
        check=False,
        timeout=START_SECONDS,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1, done.stderr


def test_a_start_does_not_wait_for_a_pipe(bundle: Path) -> None:
    pipe(bundle / GRAPH)
    done = subprocess.run(
        serve_command(bundle),
        capture_output=True,
        text=True,
        env=clean_environment(),
        check=False,
        timeout=START_SECONDS,
    )
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)


@pytest.fixture
def server(serve: StartServer, bundle: Path, runtime: Path) -> Server:
    return serve("--bundle", str(bundle), "--max-queue-seconds", "60", XDG_RUNTIME_DIR=str(runtime))


def refused(server: Server, runtime: Path, directory: Path) -> str:
    """Why a reload is refused, while clients post; all of them are answered by the old model."""
    with load(server.url, jpeg(250), clients=2, kept=True) as clients:
        answer = reload(server, runtime, directory)
        clients.until_more_of("1", 10)
    assert not clients.others
    assert set(clients.versions) == {"1"}
    assert not answer["ok"]
    assert "\n" not in answer["error"]
    assert children(server.process.pid) == []
    return str(answer["error"])


def another(tmp_path: Path, graph: bytes) -> Path:
    return write_onnx_bundle(tmp_path / "another", graph)


@pytest.mark.accept
@pytest.mark.parametrize("kind", GRAPHS)
def test_reloading_a_hostile_bundle_is_refused_and_the_old_model_keeps_serving(
    server: Server, runtime: Path, tmp_path: Path, kind: str
) -> None:
    make, _ = GRAPHS[kind]
    assert "another" in refused(server, runtime, another(tmp_path, make()))


@pytest.mark.accept
def test_reloading_a_special_file_is_refused(server: Server, runtime: Path, tmp_path: Path) -> None:
    directory = another(tmp_path, grey_graph())
    assert reload(server, runtime, directory)["ok"]  # it is sound
    assert reload(server, runtime, tmp_path / "greys")["ok"]
    for number, spoil in enumerate(NO_FILES):
        spoilt = write_onnx_bundle(tmp_path / f"spoilt-{number}")
        spoil(spoilt / "golden.jpg")
        assert "is not a regular file" in refused(server, runtime, spoilt)


@pytest.mark.accept
def test_a_graph_that_kills_a_process_is_refused_after_its_trial(
    server: Server, runtime: Path, tmp_path: Path
) -> None:
    """Gigabytes that the machine may well have, and a loop without an end."""
    greedy = another(tmp_path, hostile.greedy(GIGABYTES))
    assert "memory" in refused(server, runtime, greedy)
    endless = write_onnx_bundle(tmp_path / "endless", hostile.endless())
    assert f"took over {trial.SECONDS} seconds" in refused(server, runtime, endless)
