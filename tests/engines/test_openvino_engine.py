"""The engine openvino, where its library is installed: test_with_openvino.py sees to that."""

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from fake_engine import FakeEngine
from greengrocer.assemble_pipeline import build_pipeline
from greengrocer.bundles.bundle import load_bundle
from greengrocer.bundles.manifest import GRAPH, read_manifest
from greengrocer.context import Context
from greengrocer.datasets.dataset import read_split
from greengrocer.engines.auto_engine import SAME, check_answer, golden_pixels
from greengrocer.engines.engine import Inference, Threads
from greengrocer.errors import BundleRefused, InvalidAnswer, UsageError
from support.bundles import digests
from support.graphs import BREACHES, grey_graph, write_onnx_bundle
from support.hostile import external_data, fails_by_what_it_finds, fails_for_white, unknown_operator
from support.make_images import jpeg
from support.orders import reload
from support.servers import StartServer, clean_environment

if importlib.util.find_spec("openvino") is None:
    pytest.skip("openvino is not installed", allow_module_level=True)

from greengrocer.engines.onnx_engine import OnnxEngine
from greengrocer.engines.openvino_engine import OpenVinoEngine

THREADS = Threads(each=1, alone=2, side_by_side=2)
IMPORTING = """
import sys
said = []
def hear(event, arguments):
    if event.startswith(("socket.", "subprocess.", "os.exec", "os.posix_spawn")):
        said.append((event, arguments))
sys.addaudithook(hear)
from greengrocer.engines.openvino_runtime import ov
assert "CPU" in ov.Core().available_devices
assert not said, said
"""
OTHERWISE = 0.01  # of the images of val: none, where it was measured


def engine_of(bundle: Path, device: str = "cpu") -> OpenVinoEngine:
    engine = OpenVinoEngine(bundle, read_manifest(bundle), device, THREADS)
    engine.start()
    return engine


@pytest.fixture(scope="module")
def greys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_onnx_bundle(tmp_path_factory.mktemp("onnx") / "greys")


def assert_near(found: Inference, expected: Inference, apart: float) -> None:
    for name in ("probabilities", "known_score", "coarse"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=apart)
    assert found.evidence is not None
    assert expected.evidence is not None
    assert {each.dtype for each in found if each is not None} == {np.dtype(np.float32)}


def test_a_batch_is_answered_image_by_image(greys: Path) -> None:
    engine = engine_of(greys)
    pixels = np.random.default_rng(1).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    pixels[1] = 10
    expected = FakeEngine(greys, engine.manifest, "cpu", THREADS).infer(pixels)
    for alone in (False, True):
        found = engine.infer(pixels, alone)
        assert_near(found, expected, 1e-5)
        assert found.evidence is not None
        assert expected.evidence is not None
        mean = expected.evidence.mean((1, 2))
        np.testing.assert_allclose(found.evidence.mean((1, 2)), mean, 1e-3)


def test_the_shipped_graphs_answer_as_in_onnx_runtime(shipped_bundle: Path) -> None:
    manifest = read_manifest(shipped_bundle)
    ours = OnnxEngine(shipped_bundle, manifest, "cpu", THREADS)
    ours.start()
    rival = engine_of(shipped_bundle)
    for golden in manifest.goldens:
        pixels = golden_pixels(shipped_bundle, manifest, golden)
        expected = ours.infer(pixels)
        for alone in (False, True):
            check_answer(manifest, golden, expected, rival.infer(pixels, alone))
            assert_near(rival.infer(pixels, alone), expected, SAME)
    build_pipeline(load_bundle(shipped_bundle), "openvino").close()


def test_noise_which_leaves_a_cascade_in_doubt_is_answered_as_well(grocery_bundle: Path) -> None:
    manifest = read_manifest(grocery_bundle)
    ours = OnnxEngine(grocery_bundle, manifest, "cpu", THREADS)
    ours.start()
    side = manifest.geometry.height
    noise = np.random.default_rng(3).integers(0, 256, (1, side, side, 3), dtype=np.uint8)
    expected = ours.infer(noise)
    assert expected.probabilities.max() < 0.72, "no cascade would look again"
    assert_near(engine_of(grocery_bundle).infer(noise), expected, SAME)


def test_more_threads_than_streams_get_their_own_answers(greys: Path) -> None:
    engine = engine_of(greys)
    levels = np.arange(5, 256, 10, dtype=np.uint8)
    images = np.broadcast_to(levels[:, None, None, None, None], (len(levels), 1, 32, 32, 3))
    expected = [engine.infer(image).probabilities for image in images]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(20):
            found = pool.map(lambda image: engine.infer(image).probabilities, images)
            for one, other in zip(found, expected, strict=True):
                np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("breach", BREACHES)
def test_a_graph_that_breaks_the_contract_is_refused_in_one_line(
    tmp_path: Path, breach: str
) -> None:
    arguments, what = BREACHES[breach]
    directory = write_onnx_bundle(tmp_path / "greys", grey_graph(**arguments))
    with pytest.raises(BundleRefused, match=rf"model\.onnx has the {what} .*, not ") as refusal:
        engine_of(directory)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "graph",
    [
        b"no graph",
        grey_graph()[:200],
        unknown_operator(),
        b'<?xml version="1.0"?><net name="x" version="11"><layers/><edges/></net>',
    ],
    ids=["no graph", "cut off", "unknown operator", "another format of OpenVINO's"],
)
def test_an_invalid_graph_is_refused_in_one_line(tmp_path: Path, graph: bytes) -> None:
    directory = write_onnx_bundle(tmp_path / "greys", graph)
    with pytest.raises(BundleRefused, match=r"model\.onnx does not load: ") as refusal:
        engine_of(directory)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("place", ["beside", "above", "absolute"])
def test_weights_outside_of_the_graph_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    bundle = write_onnx_bundle(tmp_path / "greys")
    for directory in (tmp_path, bundle):
        (directory / "centres").write_bytes(bytes(1000))
    monkeypatch.chdir(bundle)
    where = {"beside": "centres", "above": "../centres", "absolute": f"{tmp_path}/centres"}
    (bundle / GRAPH).write_bytes(external_data(where[place]))
    manifest = read_manifest(bundle)
    manifest = manifest.model_copy(update={"files": manifest.files | digests(bundle, GRAPH)})
    with pytest.raises(BundleRefused, match="does not load"):
        OpenVinoEngine(bundle, manifest, "cpu", THREADS).start()


def test_it_runs_on_the_cpu_only(greys: Path) -> None:
    with pytest.raises(UsageError, match="the engine openvino does not run on 'cuda'"):
        engine_of(greys, "cuda")


def test_it_sends_nothing_and_writes_nothing_into_the_home_directory(tmp_path: Path) -> None:
    environment = clean_environment() | {"HOME": str(tmp_path)}
    command = [sys.executable, "-c", IMPORTING]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("graph", [fails_for_white, fails_by_what_it_finds])
@pytest.mark.parametrize("at_once", [1, 4])
def test_an_operator_that_fails_for_an_image_fails_for_no_other(
    tmp_path: Path, graph: Callable[[], bytes], at_once: int
) -> None:
    """In any order, since OpenVINO itself answers by what its last image left behind."""
    bundle = write_onnx_bundle(tmp_path / "failing", graph())
    pipeline = build_pipeline(load_bundle(bundle), "openvino")

    def answer(white: bool) -> str:
        try:
            return pipeline.classify(jpeg(255 if white else 5), Context()).prediction
        except InvalidAnswer as refusal:
            return str(refusal)

    order = [digit == "1" for digit in "1110010110100111001" * 5]
    found = [answer(order[0])]
    with ThreadPoolExecutor(at_once) as pool:
        found += pool.map(answer, order[1:])
    pipeline.close()
    for white, answered in zip(order, found, strict=True):
        assert answered.startswith("the model fails" if white else "grey-0"), answered


@pytest.mark.parametrize(
    ("engine", "workers"), [("openvino", ("--workers", "1")), ("openvino", ()), ("auto", ())]
)
def test_it_serves_explains_and_reloads(
    serve: StartServer,
    grocery_bundle: Path,
    greys: Path,
    runtime: Path,
    engine: str,
    workers: tuple[str, ...],
) -> None:
    server = serve("--engine", engine, *workers, XDG_RUNTIME_DIR=str(runtime))
    golden = read_manifest(grocery_bundle).goldens[0]
    photo = (grocery_bundle / golden.file).read_bytes()
    with server.client() as client:
        answer = client.post("/predict?explain=true", files={"file": photo}).json()
        assert answer["prediction"] == golden.prediction
        assert answer["evidence"]["shape"] == [27, 27]
        reloaded = reload(server, runtime, greys)
        assert reloaded["ok"], reloaded
        assert client.post("/predict", files={"file": jpeg(5)}).json()["prediction"] == "grey-0"


@pytest.mark.accept
def test_all_of_val_gets_the_same_labels(shipped_bundle: Path, dataset: Path) -> None:
    """What differs is shown; where it was measured, nothing does."""
    manifest = read_manifest(shipped_bundle)
    pipelines = [build_pipeline(load_bundle(shipped_bundle), name) for name in ("onnx", "openvino")]
    images = [each.path for each in read_split(dataset, "val").pictures]
    differ = []
    for image in images:
        data = image.read_bytes()
        ours, rival = (each.classify(data, Context()).top[0] for each in pipelines)
        if ours[0] != rival[0]:
            differ.append(f"{image.name}: onnx {ours[0]} ({ours[1]:.3f}), openvino {rival}")
    assert len(images) == 296
    assert len(differ) <= OTHERWISE * len(images), f"{manifest.name}:\n" + "\n".join(differ)
    for pipeline in pipelines:
        pipeline.close()
