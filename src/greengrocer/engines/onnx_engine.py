"""The default engine: the bundle's graph in ONNX Runtime, in int8 on CPUs, in float32 on a GPU."""

from pathlib import Path

from greengrocer.bundles.bundle import read_verified
from greengrocer.bundles.manifest import GRAPH, Manifest
from greengrocer.engines.contract import (
    NOTHING,
    Tensors,
    check_inputs,
    check_outputs,
    loading,
    outputs_of,
    running,
    sides_of,
)
from greengrocer.engines.engine import Inference, Threads
from greengrocer.engines.gpu_session import GpuSession, built_for_cuda, open_gpu_session
from greengrocer.engines.onnx_runtime import ort
from greengrocer.engines.onnx_session import (
    NEVER_SPINNING,
    SPINNING_WITHIN_A_RUN,
    OnnxSession,
    open_session,
)
from greengrocer.errors import UsageError
from greengrocer.imaging.geometry import Pixels


class OnnxEngine:
    """Runs the graph in a session that all threads share, weights included.

    A second session, with its own copy of the weights, is for an image that is alone, on up to four
    processors (docs/decisions/012). It is left out where both would have as many threads, and on a
    GPU, which takes images in batches.
    """

    largest_batch = 1  # on CPUs, images on a thread each are as fast

    def __init__(self, directory: Path, manifest: Manifest, device: str, threads: Threads) -> None:
        self.directory = directory
        self.manifest = manifest
        self.device = device
        self.threads = threads
        self._outputs = list(outputs_of(manifest))
        self._session: GpuSession | OnnxSession | None = None
        self._session_alone: GpuSession | OnnxSession | None = None

    def start(self) -> None:
        """Load the graph and check its inputs and outputs; raises BundleRefused or UsageError."""
        graph = read_verified(self.directory, self.manifest, GRAPH)
        on_gpu = self._may_use_gpu()
        with loading(self.directory):
            gpu_session = self._gpu_session(graph) if on_gpu else None
            session, session_alone = (
                (gpu_session, gpu_session) if gpu_session else self._cpu_sessions(graph)
            )
        check_inputs(self.directory, self.manifest, _tensors(session.get_inputs()))
        check_outputs(self.directory, self.manifest, _tensors(session.get_outputs()))
        if gpu_session:
            self._session = self._session_alone = GpuSession(gpu_session)
            self.largest_batch = GpuSession.largest_batch
            return
        self._session = self._session_alone = OnnxSession(session)
        if session_alone is not session:
            self._session_alone = OnnxSession(session_alone)

    def infer(self, pixels: Pixels, alone: bool = False) -> Inference:
        """Answer for uint8 pixels [N, H, W, 3]; releases the GIL. Raises InvalidAnswer."""
        session = self._session_alone if alone else self._session
        assert session is not None, "start() comes first"
        with running():
            values = session.run(self._outputs, {"pixels": pixels})
        given = dict(zip(self._outputs, values, strict=True))
        return Inference(**{**NOTHING, **given})

    def close(self) -> None:
        """Free the sessions."""
        self._session = self._session_alone = None

    def _may_use_gpu(self) -> bool:
        if self.device not in ("auto", "cpu", "cuda"):
            raise UsageError(f"there is no device {self.device!r}: choose auto, cpu or cuda")
        if self.device == "cuda" and not built_for_cuda():
            raise UsageError(
                "the engine onnx does not run on 'cuda': the ONNX Runtime that is installed is for "
                "CPUs. Put onnxruntime-gpu in its place, choose the engine torch, or set the "
                "device to cpu"
            )
        return self.device != "cpu" and built_for_cuda()

    def _gpu_session(self, graph: bytes) -> ort.InferenceSession | None:
        """A session on the GPU; None where the runtime finds none and the device is "auto"."""
        session = open_gpu_session(graph, self.manifest.geometry)
        if session is None and self.device == "cuda":
            raise UsageError(
                "ONNX Runtime finds no GPU, or not the libraries of CUDA and cuDNN: choose the "
                "device cpu or auto"
            )
        return session

    def _cpu_sessions(self, graph: bytes) -> tuple[ort.InferenceSession, ort.InferenceSession]:
        """The sessions for images side by side, and for an image that is alone."""
        each, alone = self.threads.each, self.threads.alone
        session = open_session(graph, each, NEVER_SPINNING)
        if alone > each:
            return session, open_session(graph, alone, SPINNING_WITHIN_A_RUN)
        return session, session


def _tensors(nodes: list[ort.NodeArg]) -> Tensors:
    return {node.name: (node.type, sides_of(node.shape)) for node in nodes}
