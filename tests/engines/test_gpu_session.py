import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from greengrocer.assemble_pipeline import build_pipeline
from greengrocer.bundles.bundle import load_bundle
from greengrocer.bundles.manifest import read_manifest
from greengrocer.datasets.gallery import built_in_gallery
from greengrocer.engines import gpu_session
from greengrocer.engines.batcher import LARGEST_ON_GPU
from greengrocer.engines.engine import ONE_THREAD
from greengrocer.engines.gpu_session import GpuSession
from greengrocer.engines.onnx_engine import OnnxEngine
from greengrocer.engines.onnx_runtime import ort
from greengrocer.errors import UsageError
from greengrocer.imaging.geometry import fit
from support.graphs import write_onnx_bundle

CPU = "CPUExecutionProvider"
Providers = list[tuple[str, dict[str, str]]]


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> list[Providers]:
    """The processor stands in for a GPU; what providers each session was asked for."""
    asked: list[Providers] = []
    open_session = ort.InferenceSession

    def on_the_processor(*arguments: Any, providers: Providers, **_: int) -> Any:
        asked.append(providers)
        return open_session(*arguments, providers=[CPU])

    monkeypatch.setattr(ort, "InferenceSession", on_the_processor)
    monkeypatch.setattr(gpu_session, "CUDA", CPU)
    monkeypatch.setattr(gpu_session, "CUDA_PROVIDER", (CPU, {}))
    return asked


@pytest.mark.parametrize(
    ("more", "warned"),
    [([], "CUDA"), ([gpu_session.TENSORRT], "(CUDA|Tensorrt)")],
    ids=["CUDA", "TensorRT"],
)
def test_a_runtime_for_gpus_that_finds_none_is_refused_or_runs_on_the_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: list[str], warned: str
) -> None:
    directory = write_onnx_bundle(tmp_path / "greys")
    manifest = read_manifest(directory)
    available = [*more, "CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: available)
    monkeypatch.setitem(sys.modules, "tensorrt", ModuleType("tensorrt"))
    with (
        pytest.warns(UserWarning, match=f"{warned}ExecutionProvider"),
        pytest.raises(UsageError, match="finds no GPU"),
    ):
        OnnxEngine(directory, manifest, "cuda", ONE_THREAD).start()
    automatic = OnnxEngine(directory, manifest, "auto", ONE_THREAD)
    with pytest.warns(UserWarning, match=f"{warned}ExecutionProvider"):
        automatic.start()
    assert automatic.largest_batch == 1


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("count", [1, 3])
def test_a_gpu_answers_in_batches_as_the_cpu_does(shipped_bundle: Path, count: int) -> None:
    manifest = read_manifest(shipped_bundle)
    on_gpu, on_cpu = (
        OnnxEngine(shipped_bundle, manifest, device, ONE_THREAD) for device in ("cuda", "cpu")
    )
    on_gpu.start()
    on_cpu.start()
    assert (on_gpu.largest_batch, on_cpu.largest_batch) == (LARGEST_ON_GPU, 1)
    shown = [each.path for each in built_in_gallery().pictures[:count]]
    pixels = np.stack([fit(Image.open(path).convert("RGB"), manifest.geometry) for path in shown])
    here, there = on_gpu.infer(pixels), on_cpu.infer(pixels)
    assert here.probabilities.shape == (count, len(manifest.classes))
    # 0.13: of the gallery, at most
    np.testing.assert_allclose(here.probabilities, there.probabilities, atol=0.13)


@pytest.mark.usefixtures("gpu")
def test_a_gpu_replays_the_goldens(shipped_bundle: Path) -> None:
    build_pipeline(load_bundle(shipped_bundle), device="cuda").close()


def start(directory: Path) -> None:
    OnnxEngine(directory, read_manifest(directory), "cuda", ONE_THREAD).start()


def test_tensorrt_comes_first_where_the_runtime_and_python_have_it(
    tmp_path: Path, gpu: list[Providers], monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = write_onnx_bundle(tmp_path / "greys")
    cuda = gpu_session.CUDA_PROVIDER
    monkeypatch.setitem(sys.modules, "tensorrt", ModuleType("tensorrt"))
    start(directory)  # a runtime without it
    monkeypatch.setattr(ort, "get_available_providers", lambda: [gpu_session.TENSORRT, CPU])
    start(directory)
    monkeypatch.setitem(sys.modules, "tensorrt", None)  # Python lacks it
    start(directory)
    profile = {
        "trt_profile_min_shapes": "pixels:1x32x32x3",
        "trt_profile_opt_shapes": "pixels:32x32x32x3",
        "trt_profile_max_shapes": "pixels:32x32x32x3",
    }
    assert gpu == [[cuda], [(gpu_session.TENSORRT, profile), cuda], [cuda]]


def test_where_tensorrt_fails_cuda_runs_the_graph(
    tmp_path: Path,
    gpu: list[Providers],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", ModuleType("tensorrt"))
    monkeypatch.setattr(ort, "get_available_providers", lambda: [gpu_session.TENSORRT, CPU])
    on_the_processor = ort.InferenceSession

    def failing(*arguments: Any, providers: Providers, **more: int) -> Any:
        if providers[0][0] == gpu_session.TENSORRT:
            assert more == {"enable_fallback": 0}
            raise RuntimeError("libnvinfer.so.10 is not there")
        return on_the_processor(*arguments, providers=providers, **more)

    monkeypatch.setattr(ort, "InferenceSession", failing)
    start(write_onnx_bundle(tmp_path / "greys"))
    assert "libnvinfer.so.10 is not there" in caplog.text
    assert gpu == [[gpu_session.CUDA_PROVIDER]]


@pytest.mark.parametrize(
    ("provider", "parts"),
    [(gpu_session.CUDA, [70]), (gpu_session.TENSORRT, [32, 32, 6])],
)
def test_a_batch_beyond_what_tensorrt_compiled_for_runs_in_parts(
    provider: str, parts: list[int]
) -> None:
    sizes = []

    class Recorded:
        def get_providers(self) -> list[str]:
            return [provider, CPU]

        def run(self, outputs: list[str], inputs: dict[str, Any]) -> list[Any]:
            sizes.append(len(inputs["pixels"]))
            return [inputs["pixels"] * 2 for _ in outputs]

    pixels = np.arange(70, dtype=np.uint8).reshape(70, 1)
    first, second = GpuSession(Recorded()).run(["a", "b"], {"pixels": pixels})
    assert sizes == parts
    np.testing.assert_array_equal(first, pixels * 2)
    np.testing.assert_array_equal(second, pixels * 2)
