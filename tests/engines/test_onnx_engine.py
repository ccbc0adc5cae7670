import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from fake_engine import FakeEngine
from greengrocer.assemble_pipeline import build_pipeline
from greengrocer.bundles.bundle import load_bundle, shipped_bundles
from greengrocer.bundles.manifest import read_manifest
from greengrocer.engines.engine import ONE_THREAD, Threads
from greengrocer.engines.onnx_engine import OnnxEngine
from greengrocer.engines.onnx_session import MUCH, resident_bytes
from greengrocer.errors import BundleRefused, UsageError
from support import hostile
from support.graphs import BREACHES, grey_graph, write_onnx_bundle


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> OnnxEngine:
    directory = write_onnx_bundle(tmp_path_factory.mktemp("onnx") / "greys")
    engine = OnnxEngine(directory, read_manifest(directory), "cpu", ONE_THREAD)
    engine.start()
    return engine


def test_a_batch_is_answered_image_by_image(engine: OnnxEngine) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    pixels[1] = 10
    found = engine.infer(pixels)
    expected = FakeEngine(engine.directory, engine.manifest, "cpu", ONE_THREAD).infer(pixels)
    assert found.coarse is not None
    assert expected.coarse is not None
    assert found.probabilities.dtype == np.float32
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-5)
    np.testing.assert_allclose(found.coarse, expected.coarse, atol=1e-5)
    assert found.known_score is not None
    assert expected.known_score is not None
    assert found.evidence is not None
    assert expected.evidence is not None
    np.testing.assert_allclose(found.known_score, expected.known_score, atol=1e-5)
    np.testing.assert_allclose(found.evidence.mean((1, 2)), expected.evidence.mean((1, 2)), 1e-3)


def test_the_memory_of_a_run_that_took_much_is_given_back(tmp_path: Path) -> None:
    directory = write_onnx_bundle(tmp_path / "greedy", hostile.greedy_for_white(4 * MUCH))
    engine = OnnxEngine(directory, read_manifest(directory), "cpu", ONE_THREAD)
    engine.start()
    grey, white = (np.full((1, 32, 32, 3), level, np.uint8) for level in (100, 255))
    engine.infer(grey)
    before = resident_bytes()
    for _ in range(2):
        engine.infer(white)
        assert resident_bytes() > before + 3 * MUCH
        engine.infer(grey)
        assert resident_bytes() < before + MUCH


def test_more_threads_give_a_single_image_the_same_answer(
    shipped_bundle: Path,
) -> None:
    manifest = read_manifest(shipped_bundle)
    engine = OnnxEngine(shipped_bundle, manifest, "cpu", Threads(each=1, alone=2))
    engine.start()
    shape = (1, manifest.geometry.height, manifest.geometry.width, 3)
    pixels = np.random.default_rng(2).integers(0, 256, shape, dtype=np.uint8)
    for beside, alone in zip(engine.infer(pixels), engine.infer(pixels, alone=True), strict=True):
        np.testing.assert_array_equal(beside, alone)


WITHOUT_MEMORY = """
import resource, sys
from pathlib import Path
import numpy as np
from greengrocer.bundles.manifest import read_manifest
from greengrocer.engines.engine import ONE_THREAD
from greengrocer.engines.onnx_engine import OnnxEngine

bundle = Path(sys.argv[1])
engine = OnnxEngine(bundle, read_manifest(bundle), "cpu", ONE_THREAD)
engine.start()
pixels = np.zeros((64, 256, 256, 3), np.uint8)
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used, used))
try:
    engine.infer(pixels)
except MemoryError as error:
    print(error, end="")
"""


def test_a_lack_of_memory_is_not_the_models_fault() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT_MEMORY, shipped_bundles()["fast"]],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert ended.stdout == "there is not enough memory for it"


@pytest.mark.parametrize("breach", BREACHES)
def test_a_graph_that_breaks_the_contract_is_refused_in_one_line(
    tmp_path: Path, breach: str
) -> None:
    arguments, what = BREACHES[breach]
    directory = write_onnx_bundle(tmp_path / "greys", grey_graph(**arguments))
    before = set(threading.enumerate())
    with pytest.raises(BundleRefused, match=f"model.onnx has the {what} .*, not ") as refusal:
        build_pipeline(load_bundle(directory))
    assert "\n" not in str(refusal.value)
    assert set(threading.enumerate()) <= before  # one of an earlier test may have ended


@pytest.mark.parametrize("graph", [b"", b"no graph", grey_graph()[:200]])
def test_an_invalid_graph_is_refused_in_one_line(tmp_path: Path, graph: bytes) -> None:
    directory = write_onnx_bundle(tmp_path / "greys", graph)
    with pytest.raises(BundleRefused, match=r"model\.onnx does not load: ") as refusal:
        build_pipeline(load_bundle(directory))
    assert "\n" not in str(refusal.value)


def test_cuda_without_a_runtime_for_gpus_is_refused(engine: OnnxEngine) -> None:
    with pytest.raises(UsageError, match="onnxruntime-gpu in its place"):
        OnnxEngine(engine.directory, engine.manifest, "cuda", ONE_THREAD).start()
    with pytest.raises(UsageError, match="no device 'tpu'"):
        OnnxEngine(engine.directory, engine.manifest, "tpu", ONE_THREAD).start()
