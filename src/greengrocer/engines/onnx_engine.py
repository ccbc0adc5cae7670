"""The default engine: the bundle's graph in ONNX Runtime, in int8 on CPUs, in float32 on a GPU."""

from pathlib import Path

from greengrocer.bundles.bundle import read_verified
from greengrocer.bundles.manifest import GRAPH, Manifest
from greengrocer.engines.batcher import LARGEST_ON_GPU
from greengrocer.engines.engine import Inference, Threads
from greengrocer.engines.onnx_runtime import ort, reason_of
from greengrocer.errors import BundleRefused, MissingExtra, UsageError
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
BATCH = "N"  # a dimension that may vary

Shape = tuple[int | str, ...]

_NOTHING: dict[str, None] = {"known_score": None, "evidence": None}


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
        self._outputs = _outputs(manifest)
        self._session: ort.InferenceSession | None = None
        self._session_alone: ort.InferenceSession | None = None

    def start(self) -> None:
        """Load the graph and check its inputs and outputs; raises BundleRefused or UsageError."""
        graph = read_verified(self.directory, self.manifest, GRAPH)
        on_gpu = self._may_use_gpu()
        try:
            session = self._gpu_session(graph) if on_gpu else None
            session_alone = session
            if session is None:
                session, session_alone = self._cpu_sessions(graph)
        except (MissingExtra, UsageError):
            raise
        # ONNX Runtime's own exceptions have no common base below Exception.
        except Exception as error:
            reason = reason_of(error)
            raise BundleRefused(
                f"bundle {self.directory}: {GRAPH} does not load: {reason}"
            ) from error
        self._check_contract(session)
        self._session, self._session_alone = session, session_alone

    def infer(self, pixels: Pixels, alone: bool = False) -> Inference:
        """Answer for uint8 pixels [N, H, W, 3]; releases the GIL."""
        session = self._session_alone if alone else self._session
        assert session is not None, "start() comes first"
        values = session.run(self._outputs, {"pixels": pixels})
        given = dict(zip(self._outputs, values, strict=True))
        return Inference(**{**_NOTHING, **given})

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
        each, alone = self.threads
        session = _session(graph, each, *NEVER_SPINNING)
        if alone > each:
            return session, _session(graph, alone, *SPINNING_WITHIN_A_RUN)
        return session, session

    def _check_contract(self, session: ort.InferenceSession) -> None:
        found_in = {node.name: (node.type, _shape(node.shape)) for node in session.get_inputs()}
        found_out = {node.name: (node.type, _shape(node.shape)) for node in session.get_outputs()}
        geometry, classes = self.manifest.geometry, len(self.manifest.classes)
        pixels = ("tensor(uint8)", (BATCH, geometry.height, geometry.width, 3))
        if found_in != {"pixels": pixels}:
            raise self._contract_error("inputs", found_in, {"pixels": pixels})
        evidence = found_out.get("evidence", ("", (BATCH, 0, 0, 0)))[1]
        shapes: dict[str, Shape] = {
            "probabilities": (BATCH, classes),
            "known_score": (BATCH,),
            "evidence": (BATCH, *evidence[1:3], classes),
            "coarse": (BATCH, len(self.manifest.coarse or ())),
        }
        wanted = {name: ("tensor(float)", shapes[name]) for name in self._outputs}
        if found_out != wanted:
            raise self._contract_error("outputs", found_out, wanted)

    def _contract_error(self, what: str, found: object, wanted: object) -> BundleRefused:
        return BundleRefused(
            f"bundle {self.directory}: {GRAPH} has the {what} {found}, not {wanted}"
        )


def _outputs(manifest: Manifest) -> list[str]:
    """The outputs that the bundle's graph must have, no more and no less."""
    return [
        "probabilities",
        *(["known_score"] if manifest.known_threshold is not None else []),
        *(["evidence"] if manifest.evidence else []),
        *(["coarse"] if manifest.coarse else []),
    ]


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


def _shape(shape: list[int | str | None]) -> Shape:
    """The sides of a tensor. A graph may be for one image at a time, as it is used here."""
    first, *others = shape
    sides = [BATCH if first == 1 else first, *others]
    return tuple(side if isinstance(side, int) else BATCH for side in sides)
