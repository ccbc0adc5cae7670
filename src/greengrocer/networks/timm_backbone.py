"""timm's networks as backbones: ``timm:mobilenetv4_conv_small`` and its hundreds of siblings."""

from typing import Any

import torch
from torch import nn

from greengrocer.errors import MissingExtra, UsageError
from greengrocer.networks.backbone import PREFIX_TIMM, Backbone
from greengrocer.safe_text import kind_and_words_of

NESTED = ("blocks", "stages", "layers")  # children that are themselves a row of stages


class TimmBackbone(Backbone):
    """The part of a timm network that makes its feature map.

    ``forward`` takes pixels from 0 to 1 and normalises them with the network's own mean and
    deviation a channel, so that the exported graph has them, too.
    """

    mean = 0
    scale = 1 / 255

    def __init__(self, name: str) -> None:
        """``name`` begins with ``timm:``. Raises MissingExtra, or UsageError for an unknown one."""
        super().__init__()
        self.name = name.removeprefix(PREFIX_TIMM)
        self.network = self._create(pretrained=False)
        config: dict[str, Any] = self.network.pretrained_cfg
        self.channels = int(self.network.num_features)
        self.register_buffer("channel_mean", _by_channel(config["mean"]), persistent=False)
        self.register_buffer("channel_std", _by_channel(config["std"]), persistent=False)
        self.pretrained_origin = _origin(self.name, config)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """As a Backbone's; raises UsageError for a network that has no feature map."""
        assert isinstance(self.channel_mean, torch.Tensor)
        assert isinstance(self.channel_std, torch.Tensor)
        features: torch.Tensor = self.network.forward_features(
            (x - self.channel_mean) / self.channel_std
        )
        if features.ndim != 4:
            raise UsageError(
                f"the backbone {PREFIX_TIMM}{self.name} makes no feature map but "
                f"{features.ndim - 1} dimensions of tokens: choose a convolutional network"
            )
        if getattr(self.network, "output_fmt", "NCHW") == "NHWC":
            features = features.permute(0, 3, 1, 2)
        return features

    def stages(self) -> list[list[nn.Module]]:
        """The network's children, its row of blocks or stages one by one."""
        found: list[list[nn.Module]] = []
        for name, child in self.network.named_children():
            rows = list(child.children()) if name in NESTED else [child]
            found += [[row] for row in rows if any(True for _ in row.parameters())]
        within = {id(weight) for stage in found for part in stage for weight in part.parameters()}
        if within != {id(weight) for weight in self.parameters()}:
            return [[self]]  # weights of its own, beside its children
        return found

    def load_pretrained(self) -> None:
        """Fill it with timm's weights, which timm downloads where the machine has none."""
        try:
            loaded = self._create(pretrained=True)
        except UsageError:
            raise
        except Exception as error:  # of timm, the hub, or the network
            reason = kind_and_words_of(error, 200)
            raise UsageError(
                f"the weights of {PREFIX_TIMM}{self.name} cannot be loaded ({reason}): download "
                "them with timm first, or set pretrained = false"
            ) from error
        self.network.load_state_dict(loaded.state_dict())

    def _create(self, *, pretrained: bool) -> Any:
        """A network without its classifier."""
        try:
            import timm  # noqa: PLC0415
        except ModuleNotFoundError as error:
            raise MissingExtra(f"the backbone {PREFIX_TIMM}{self.name}", extra="timm") from error
        if not timm.is_model(self.name):
            raise UsageError(
                f"timm has no network {self.name!r}: timm.list_models() lists those that it has"
            )
        return timm.create_model(self.name, pretrained=pretrained, num_classes=0)


def _by_channel(values: Any) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32).reshape(3, 1, 1)


def _origin(name: str, config: dict[str, Any]) -> str:
    """The sentence of the model card."""
    licence = config.get("license")
    under = f", under the licence {licence}" if licence else "; see there for their licence"
    return f"The training began with the weights that timm has for {name}{under}."
