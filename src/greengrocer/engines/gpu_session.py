"""A session of ONNX Runtime on a GPU of NVIDIA's: by TensorRT where that is present, else by CUDA.

No GPU was at hand: neither has run on one (``benchmarks/results/gpu-grocery.md``).
"""

import importlib
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from greengrocer.engines.batcher import LARGEST_ON_GPU
from greengrocer.engines.contract import reason_of
from greengrocer.engines.onnx_runtime import ort
from greengrocer.engines.onnx_session import NEVER_SPINNING, Provider, open_session
from greengrocer.errors import MissingExtra
from greengrocer.imaging.geometry import Geometry

CUDA = "CUDAExecutionProvider"
# Batches vary in size; by default each new size would have every convolution measured.
CUDA_PROVIDER: Provider = CUDA, {"cudnn_conv_algo_search": "HEURISTIC"}
TENSORRT = "TensorrtExecutionProvider"
TENSORRT_PACKAGE = "tensorrt"  # importing it loads the libraries that ONNX Runtime looks for
PROFILE = {"min": 1, "opt": LARGEST_ON_GPU, "max": LARGEST_ON_GPU}  # images


log = logging.getLogger("greengrocer.engines")


class GpuSession:
    """Runs a graph on a GPU.

    TensorRT compiles the graph for batches of at most LARGEST_ON_GPU images when the session is
    opened. A larger batch, for which it would compile again, runs in parts.
    """

    largest_batch = LARGEST_ON_GPU

    def __init__(self, session: ort.InferenceSession) -> None:
        self._session = session
        self._in_parts = TENSORRT in session.get_providers()

    def run(self, outputs: Sequence[str], inputs: Mapping[str, npt.NDArray[np.uint8]]) -> list[Any]:
        """The outputs that are named so; raises what ONNX Runtime raises."""
        ((name, images),) = inputs.items()
        most = LARGEST_ON_GPU if self._in_parts else len(images)
        parts: list[list[Any]] = [
            self._session.run(outputs, {name: images[start : start + most]})
            for start in range(0, len(images), most)
        ]
        if len(parts) == 1:
            return parts[0]
        return [np.concatenate(each) for each in zip(*parts, strict=True)]


def built_for_cuda() -> bool:
    """Whether the ONNX Runtime that is installed is one for GPUs."""
    return CUDA in ort.get_available_providers()


def open_gpu_session(graph: bytes, geometry: Geometry) -> ort.InferenceSession | None:
    """A session for the graph in float32; None where ONNX Runtime finds no GPU.

    Raises MissingExtra.
    """
    ort.preload_dlls()  # CUDA's libraries, where pip has installed them
    in_float32 = _in_float32(graph)
    if _has_tensorrt():
        providers = [(TENSORRT, _profile(geometry)), CUDA_PROVIDER]
        try:
            # else ONNX Runtime would try CUDA by itself, without its options
            session = open_session(in_float32, 1, NEVER_SPINNING, providers, enable_fallback=0)
        # of any kind: CUDA may still run the graph
        except Exception as error:
            log.warning("TensorRT does not run the graph: trying CUDA: %s", reason_of(error))
        else:
            if CUDA in session.get_providers():
                return session
    session = open_session(in_float32, 1, NEVER_SPINNING, [CUDA_PROVIDER])
    return session if CUDA in session.get_providers() else None


def _has_tensorrt() -> bool:
    """Whether ONNX Runtime and Python have it."""
    if TENSORRT not in ort.get_available_providers():
        return False
    try:
        importlib.import_module(TENSORRT_PACKAGE)
    except (ImportError, OSError, RuntimeError):
        return False
    return True


def _profile(geometry: Geometry) -> dict[str, str]:
    """The batches for which TensorRT compiles the graph."""
    sides = f"{geometry.height}x{geometry.width}x3"
    return {
        f"trt_profile_{which}_shapes": f"pixels:{images}x{sides}"
        for which, images in PROFILE.items()
    }


def _in_float32(graph: bytes) -> bytes:
    try:
        import onnx  # noqa: PLC0415  # the extra

        from greengrocer.graphs.dequantise import dequantise  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtra("the engine onnx on a GPU", extra="cuda") from error
    return dequantise(onnx.load_from_string(graph)).SerializeToString()
