"""Networks that a user would pick instead of the bundles, with random weights: cost is what counts.

Their architectures are those of pytorchcv, which ``requirements/pareto.txt`` pins.
"""

import sys
import sysconfig
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import torch

from benchmarks.peers.environments import environment
from greengrocer.networks.backbone import Backbone

SIDE = 224  # pixels of their input, as published
REQUIREMENTS = Path(__file__).parents[1] / "requirements" / "pareto.txt"


class Published(NamedTuple):
    """A network: its name in pytorchcv, its top-1 on ImageNet, per cent, and who published that."""

    name: str
    top1: float
    source: str


NETWORKS = {
    "MobileNetV3-Large": Published("mobilenetv3_large_w1", 75.2, "Howard et al., 2019"),
    "EfficientNet-B0": Published("efficientnet_b0", 77.1, "Tan and Le, 2019"),
    "ResNet-18": Published("resnet18", 69.8, "torchvision"),
    "ResNet-50": Published("resnet50", 76.1, "torchvision"),
}


class PublishedBackbone(Backbone):
    """The network without its last layer, which costs next to nothing."""

    mean = 0
    scale = 1 / 255

    def __init__(self, published: Published) -> None:
        super().__init__()
        _install()
        torch.manual_seed(7)
        provider = import_module("pytorchcv.model_provider")
        self.features = provider.get_model(published.name, pretrained=False).eval().features
        with torch.no_grad():
            self.channels = self.features(torch.zeros(1, 3, SIDE, SIDE)).shape[1]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, 3, 224, 224] to its features, averaged over the image: [N, channels, 1, 1]."""
        features: torch.Tensor = self.features(x)
        return features


def _install() -> None:
    """Make pytorchcv importable beside the PyTorch of this environment.

    It comes without what it asks for, and with an empty torchvision: one of its networks, none of
    these, needs it, and its only build here is one of gigabytes for a GPU.
    """
    home = environment("pareto", REQUIREMENTS, "--no-deps").parent
    operators = ModuleType("torchvision.ops")
    operators.DeformConv2d = torch.nn.Identity  # type: ignore[attr-defined]
    sys.modules |= {"torchvision": ModuleType("torchvision"), operators.__name__: operators}
    library = sysconfig.get_path("purelib", vars={"base": str(home)})
    if library not in sys.path:
        sys.path.append(library)
