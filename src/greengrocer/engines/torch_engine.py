"""The engine for GPUs and for reference: the float network in PyTorch."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from greengrocer.bundles.float_weights import read_weights
from greengrocer.bundles.manifest import WEIGHTS, Manifest, Network
from greengrocer.engines.batcher import LARGEST_ON_GPU
from greengrocer.engines.contract import running
from greengrocer.engines.engine import Inference, Threads
from greengrocer.errors import BundleRefused, MissingExtra
from greengrocer.imaging.geometry import Pixels

try:
    import torch
    from safetensors import SafetensorError
    from safetensors.numpy import load
    from torch import nn

    from greengrocer.networks.backbone import Backbone, has_backbone
    from greengrocer.networks.device import choose_device
    from greengrocer.networks.recogniser import (
        AnswerHead,
        Outputs,
        Prototypes,
        Recogniser,
        channels_last,
    )
    from greengrocer.networks.views import see
    from greengrocer.networks.weights import load_float16, split_prototypes
except ImportError as error:
    raise MissingExtra("the torch engine", extra="torch") from error


class TorchEngine:
    """Runs the backbone and the answer head in float32, on the CPU or on a GPU."""

    largest_batch = 1

    def __init__(self, directory: Path, manifest: Manifest, device: str, threads: Threads) -> None:
        self.directory = directory
        self.manifest = manifest
        self.device = device
        self.threads = threads
        self._target = torch.device("cpu")
        self._network: tuple[Backbone, nn.Linear, AnswerHead] | None = None
        self._views = manifest.views

    def start(self) -> None:
        """Load the weights; raises BundleRefused, or UsageError for "cuda" without a GPU."""
        self._target = choose_device(self.device)
        self.largest_batch = 1 if self._target.type == "cpu" else LARGEST_ON_GPU
        torch.set_num_threads(self.threads.each)  # PyTorch has one number for all runs
        described = self.manifest.network
        if described is None or not has_backbone(described.architecture):
            raise BundleRefused(
                f"bundle {self.directory}: the torch engine does not know the manifest's network: "
                "use the engine onnx"
            )
        recogniser, prototypes = self._load(described)
        head = AnswerHead(
            recogniser.head,
            prototypes,
            described.temperature,
            self.manifest.coarse_of,
            self._views,
        )
        self._network = (
            channels_last(recogniser.backbone.eval().to(self._target)),
            recogniser.head.to(self._target),
            head.eval().to(self._target),
        )

    def infer(self, pixels: Pixels, alone: bool = False) -> Inference:
        """Answer for uint8 pixels [N, H, W, 3]; mostly without the GIL.

        Raises InvalidAnswer, or MemoryError where a GPU has too little left.
        """
        del alone
        assert self._network is not None, "start() comes first"
        backbone, uncalibrated, head = self._network
        # Operators raise RuntimeError, on a GPU only where their numbers are read.
        with running(RuntimeError), _memory_errors(), torch.inference_mode():
            planes = torch.tensor(pixels, device=self._target).permute(0, 3, 1, 2)
            outputs: Outputs = head(*see(backbone, planes, self._views, uncalibrated))
            return Inference(
                probabilities=outputs.probabilities.cpu().numpy(),
                known_score=outputs.known_score.cpu().numpy(),
                evidence=outputs.evidence.cpu().numpy(),
                coarse=None if outputs.coarse is None else outputs.coarse.cpu().numpy(),
            )

    def close(self) -> None:
        """Free the weights."""
        self._network = None

    def _load(self, described: Network) -> tuple[Recogniser, Prototypes]:
        data = read_weights(self.directory, self.manifest)
        recogniser = Recogniser(described.architecture, len(self.manifest.classes))
        try:
            weights, prototypes = split_prototypes(load(data))
            load_float16(recogniser, weights)
        except (ValueError, SafetensorError) as error:
            raise BundleRefused(f"bundle {self.directory}: {WEIGHTS}: {error}") from error
        return recogniser, prototypes


@contextmanager
def _memory_errors() -> Iterator[None]:
    """Raise MemoryError where a GPU has too little memory left: it may have enough later."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise MemoryError(str(error)) from error
