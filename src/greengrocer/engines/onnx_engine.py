"""The default engine: the bundle's graph in ONNX Runtime, in int8 on CPUs, in float32 on a GPU."""

from pathlib import Path

from greengrocer.bundles.bundle import read_verified
from greengrocer.bundles.manifest import GRAPH, Manifest
from greengrocer.engines.batcher import LARGEST_ON_GPU
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
from greengrocer.engines.onnx_runtime import ort
from greengrocer.engines.onnx_session import OnnxSession
from greengrocer.errors import MissingExtra, UsageError
from greengrocer.imaging.geometry import Pixels

FATAL_ONLY = 4  # ONNX Runtime's log severity: errors are raised, so they need no log line
# Refuse the ORT format, whose reader does not check what it reads.
ONNX_ONLY = "session.load_model_format", "ONNX"
# Where to look for weights outside of the graph. The manifest allows none; by default ONNX Runtime
# would read files of the working directory.
NOWHERE = "session.model_external_initializers_file_folder_path", "/dev/null"
# A waiting thread that spins takes the processor from the one that works on another image.
NEVER_SPINNING = "session.intra_op.allow_spinning", "0"
# An image that is alone: threads spin between the nodes of a run, and sleep after it.
SPINNING_WITHIN_A_RUN = "session.force_spinning_stop", "1"
CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
# Batches vary in size; by default each new size would have every convolution measured.
CUDA_OPTIONS = {"cudnn_conv_algo_search": "HEURISTIC"}


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
        self._session: ort.InferenceSession | OnnxSession | None = None
        self._session_alone: ort.InferenceSession | OnnxSession | None = None

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
            self._session = self._session_alone = gpu_session
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
        has_cuda = CUDA in ort.get_available_providers()
        if self.device == "cuda" and not has_cuda:
            raise UsageError(
                "the engine onnx does not run on 'cuda': the ONNX Runtime that is installed is for "
                "CPUs. Put onnxruntime-gpu in its place, choose the engine torch, or set the "
                "device to cpu"
            )
        return has_cuda and self.device != "cpu"

    def _gpu_session(self, graph: bytes) -> ort.InferenceSession | None:
        """A session on the GPU; None where the runtime finds none and the device is "auto"."""
        ort.preload_dlls()  # CUDA's libraries, where pip has installed them
        session = _session(_in_float32(graph), 1, *NEVER_SPINNING, provider=CUDA)
        if CUDA in session.get_providers():
            self.largest_batch = LARGEST_ON_GPU
            return session
        if self.device == "cuda":
            raise UsageError(
                "ONNX Runtime finds no GPU, or not the libraries of CUDA and cuDNN: choose the "
                "device cpu or auto"
            )
        return None

    def _cpu_sessions(self, graph: bytes) -> tuple[ort.InferenceSession, ort.InferenceSession]:
        """The sessions for images side by side, and for an image that is alone."""
        each, alone = self.threads.each, self.threads.alone
        session = _session(graph, each, *NEVER_SPINNING)
        if alone > each:
            return session, _session(graph, alone, *SPINNING_WITHIN_A_RUN)
        return session, session


def _session(
    graph: bytes, threads: int, entry: str, value: str, provider: str = CPU
) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = FATAL_ONLY
    for each in (ONNX_ONLY, NOWHERE, (entry, value)):
        options.add_session_config_entry(*each)
    tuned = CUDA_OPTIONS if provider == CUDA else {}
    return ort.InferenceSession(graph, options, providers=[(provider, tuned)])


def _in_float32(graph: bytes) -> bytes:
    try:
        import onnx  # noqa: PLC0415  # the extra

        from greengrocer.graphs.dequantise import dequantise  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtra("the engine onnx on a GPU", extra="cuda") from error
    return dequantise(onnx.load_from_string(graph)).SerializeToString()


def _tensors(nodes: list[ort.NodeArg]) -> Tensors:
    return {node.name: (node.type, sides_of(node.shape)) for node in nodes}
