"""The default engine: the bundle's int8 graph in ONNX Runtime, on the CPU."""

from pathlib import Path

import onnxruntime as ort

from greengrocer.bundles.manifest import GRAPH, Manifest
from greengrocer.engines.engine import Inference
from greengrocer.errors import BundleRefused, UsageError
from greengrocer.imaging.geometry import Pixels

ERRORS_ONLY = 3  # ONNX Runtime's log severity
BATCH = "N"  # stands for a dimension that may vary

Shape = tuple[int | str, ...]


class OnnxEngine:
    """One session that every worker thread shares, and with it one copy of the weights."""

    largest_batch = 1  # pictures side by side, each on its processor, are as fast

    def __init__(self, directory: Path, manifest: Manifest, device: str, threads: int) -> None:
        self.directory = directory
        self.manifest = manifest
        self.device = device
        self.threads = threads
        self._session: ort.InferenceSession | None = None

    def start(self) -> None:
        """Load the graph and hold it against the contract; raises BundleRefused or UsageError."""
        if self.device not in ("auto", "cpu"):
            raise UsageError(f"the engine onnx runs on the CPU, not on {self.device!r}")
        options = ort.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = ERRORS_ONLY
        # A waiting thread that spins takes the processor from the one that works.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        graph = (self.directory / GRAPH).read_bytes()
        try:
            session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        # ONNX Runtime's own exceptions have no common base below Exception.
        except Exception as error:
            reason = " ".join(str(error).split())[:300]
            raise BundleRefused(
                f"bundle {self.directory}: {GRAPH} does not load: {reason}"
            ) from error
        self._check_contract(session)
        self._session = session

    def infer(self, pixels: Pixels) -> Inference:
        """Answer for uint8 pixels [N, H, W, 3]; the GIL is released meanwhile."""
        assert self._session is not None, "start() comes first"
        names = [name for name in Inference._fields if name != "coarse" or self.manifest.coarse]
        values = self._session.run(names, {"pixels": pixels})
        return Inference(**dict(zip(names, values, strict=True)))

    def close(self) -> None:
        """Let the session go."""
        self._session = None

    def _check_contract(self, session: ort.InferenceSession) -> None:
        found_in = {node.name: (node.type, _shape(node.shape)) for node in session.get_inputs()}
        found_out = {node.name: (node.type, _shape(node.shape)) for node in session.get_outputs()}
        geometry, classes = self.manifest.geometry, len(self.manifest.classes)
        pixels = ("tensor(uint8)", (BATCH, geometry.height, geometry.width, 3))
        if found_in != {"pixels": pixels}:
            raise self._contract_error("inputs", found_in, {"pixels": pixels})
        evidence = found_out.get("evidence", ("", (BATCH, 0, 0, 0)))[1]
        wanted: dict[str, tuple[str, Shape]] = {
            "probabilities": ("tensor(float)", (BATCH, classes)),
            "known_score": ("tensor(float)", (BATCH,)),
            "evidence": ("tensor(float)", (BATCH, *evidence[1:3], classes)),
        }
        if self.manifest.coarse:
            wanted["coarse"] = ("tensor(float)", (BATCH, len(self.manifest.coarse)))
        if found_out != wanted:
            raise self._contract_error("outputs", found_out, wanted)

    def _contract_error(self, what: str, found: object, wanted: object) -> BundleRefused:
        return BundleRefused(
            f"bundle {self.directory}: {GRAPH} has the {what} {found}, not {wanted}"
        )


def _shape(shape: list[int | str | None]) -> Shape:
    return tuple(side if isinstance(side, int) else BATCH for side in shape)
