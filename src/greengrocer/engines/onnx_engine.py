"""The default engine: the bundle's int8 graph in ONNX Runtime, on the CPU."""

from pathlib import Path

from greengrocer.bundles.bundle import read_verified
from greengrocer.bundles.manifest import GRAPH, Manifest
from greengrocer.engines.contract import (
    NOTHING,
    Tensors,
    check_device,
    check_inputs,
    check_outputs,
    loading,
    outputs_of,
    sides_of,
)
from greengrocer.engines.engine import Inference, Threads
from greengrocer.engines.onnx_runtime import ort
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


class OnnxEngine:
    """Runs the graph in a session that all threads share, weights included.

    A second session, with its own copy of the weights, is for an image that is alone, on up to four
    processors (docs/decisions/012). It is left out where both would have as many threads.
    """

    largest_batch = 1  # images on a thread each are as fast

    def __init__(self, directory: Path, manifest: Manifest, device: str, threads: Threads) -> None:
        self.directory = directory
        self.manifest = manifest
        self.device = device
        self.threads = threads
        self._outputs = outputs_of(manifest)
        self._session: ort.InferenceSession | None = None
        self._session_alone: ort.InferenceSession | None = None

    def start(self) -> None:
        """Load the graph and check its inputs and outputs; raises BundleRefused or UsageError."""
        check_device("onnx", self.device)
        each, alone = self.threads.each, self.threads.alone
        graph = read_verified(self.directory, self.manifest, GRAPH)
        with loading(self.directory):
            session = session_alone = _session(graph, each, *NEVER_SPINNING)
            if alone > each:
                session_alone = _session(graph, alone, *SPINNING_WITHIN_A_RUN)
        check_inputs(self.directory, self.manifest, _tensors(session.get_inputs()))
        check_outputs(self.directory, self.manifest, _tensors(session.get_outputs()))
        self._session, self._session_alone = session, session_alone

    def infer(self, pixels: Pixels, alone: bool = False) -> Inference:
        """Answer for uint8 pixels [N, H, W, 3]; releases the GIL."""
        session = self._session_alone if alone else self._session
        assert session is not None, "start() comes first"
        values = session.run(self._outputs, {"pixels": pixels})
        given = dict(zip(self._outputs, values, strict=True))
        return Inference(**{**NOTHING, **given})

    def close(self) -> None:
        """Free the sessions."""
        self._session = self._session_alone = None


def _session(graph: bytes, threads: int, entry: str, value: str) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = FATAL_ONLY
    for each in (ONNX_ONLY, NOWHERE, (entry, value)):
        options.add_session_config_entry(*each)
    return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _tensors(nodes: list[ort.NodeArg]) -> Tensors:
    return {node.name: (node.type, sides_of(node.shape)) for node in nodes}
