"""timm's networks by their names. A module called timm stands in for it, with its documented API.

timm itself wants torchvision, which is 5 GB with what it brings: `pip install 'greengrocer[timm]'`.
"""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from greengrocer.assemble_pipeline import build_pipeline
from greengrocer.bundles.bundle import load_bundle
from greengrocer.cli.main import main
from greengrocer.context import Context
from greengrocer.errors import MissingExtra, UsageError
from greengrocer.networks.backbone import make_backbone
from greengrocer.networks.timm_backbone import TimmBackbone
from support.exports import CLASSES, write_tinted

NETWORKS = ("small_net", "token_net", "last_net")


class SmallNet(nn.Module):
    """A convolutional network with the attributes of timm's."""

    def __init__(self) -> None:
        super().__init__()
        self.num_features = 12
        self.pretrained_cfg: dict[str, Any] = {
            "mean": (0.4, 0.5, 0.6),
            "std": (0.2, 0.25, 0.3),
            "license": "apache-2.0",
        }
        self.conv_stem = nn.Conv2d(3, 8, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.blocks = nn.Sequential(
            nn.Sequential(nn.Conv2d(8, 8, 3, 2, 1, groups=8), nn.BatchNorm2d(8), nn.ReLU6()),
            nn.Sequential(nn.Conv2d(8, 12, 1), nn.BatchNorm2d(12), nn.ReLU6()),
        )
        self.classifier = nn.Identity()

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.blocks(self.bn1(self.conv_stem(x)))
        return features


class TokenNet(SmallNet):
    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward_features(x).flatten(2).transpose(1, 2)


class LastNet(SmallNet):
    output_fmt = "NHWC"

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward_features(x).permute(0, 2, 3, 1)


def create_model(name: str, pretrained: bool = False, num_classes: int = 1000) -> nn.Module:
    assert num_classes == 0
    torch.manual_seed(1 if pretrained else 0)
    if pretrained and name != "small_net":
        raise OSError("no route to the hub")
    kind: type[SmallNet] = {"small_net": SmallNet, "token_net": TokenNet, "last_net": LastNet}[name]
    return kind()


@pytest.fixture
def _timm(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("timm")
    module.is_model = lambda name: name in NETWORKS  # type: ignore[attr-defined]
    module.create_model = create_model  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "timm", module)


@pytest.mark.usefixtures("_timm")
@pytest.mark.parametrize("name", ["small_net", "last_net"])
def test_pixels_are_normalised_as_timm_does_it(name: str) -> None:
    backbone = make_backbone(f"timm:{name}").eval()
    pixels = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    assert isinstance(backbone, TimmBackbone)
    mean, std = (torch.tensor(v).reshape(3, 1, 1) for v in ((0.4, 0.5, 0.6), (0.2, 0.25, 0.3)))
    wanted = SmallNet.forward_features(backbone.network, (pixels / 255 - mean) / std)
    found = backbone(backbone.normalise(pixels))
    assert found.shape == (2, 12, 8, 8)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.usefixtures("_timm")
def test_its_stages_have_all_of_its_weights() -> None:
    backbone = make_backbone("timm:small_net")
    stages = backbone.stages()
    assert len(stages) == 4
    within = [id(w) for stage in stages for part in stage for w in part.parameters()]
    assert sorted(within) == sorted(id(w) for w in backbone.parameters())


@pytest.mark.usefixtures("_timm")
def test_pretrained_weights_are_timms() -> None:
    backbone = make_backbone("timm:small_net")
    backbone.load_pretrained()
    assert isinstance(backbone, TimmBackbone)
    wanted = create_model("small_net", pretrained=True, num_classes=0)
    assert isinstance(wanted, SmallNet)
    assert torch.equal(backbone.network.conv_stem.weight, wanted.conv_stem.weight)
    assert "under the licence apache-2.0" in backbone.pretrained_origin
    with pytest.raises(UsageError, match=r"no route to the hub.*set pretrained = false"):
        make_backbone("timm:last_net").load_pretrained()


@pytest.mark.usefixtures("_timm")
def test_what_is_no_backbone_is_refused() -> None:
    with pytest.raises(UsageError, match="timm has no network 'none_net'"):
        make_backbone("timm:none_net")
    with pytest.raises(UsageError, match="makes no feature map"):
        make_backbone("timm:token_net")(torch.zeros(1, 3, 32, 32))


def test_without_timm_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingExtra, match=r"greengrocer\[timm\]"):
        make_backbone("timm:small_net")


@pytest.mark.usefixtures("_timm")
def test_a_network_of_timm_is_trained_exported_and_served(tmp_path: Path) -> None:
    photos = write_tinted(tmp_path / "photos", 20)
    recipe = tmp_path / "small.toml"
    recipe.write_text(
        'name = "small"\nbackbone = "efficientnet-lite0"\n'
        "augmentation = { image_size = 32, color_jitter = 0.0, degrade_prob = 0.0 }\n"
        "optimisation = { epochs = 8, batch_size = 8, lr = 1e-2, head_lr = 0.1, ema_decay = 0.5 }\n"
        "export = { image_size = 32, calibration_images = 8 }\n"
    )
    flags = ["--recipe", recipe, "--data", photos, "--network", "timm:small_net"]
    assert main(["train", *map(str, flags), "--out", str(tmp_path / "bundle")]) == 0
    bundle = load_bundle(tmp_path / "bundle")
    assert bundle.manifest.network is not None
    assert bundle.manifest.network.architecture == "timm:small_net"
    pixels = np.zeros((40, 40, 3), np.uint8) + np.array([220, 60, 60], np.uint8)
    answers = []
    for engine in ("onnx", "torch"):
        pipeline = build_pipeline(bundle, engine)

        answers.append(pipeline.classify(pixels, Context()))
        pipeline.close()
    assert answers[0].prediction == answers[1].prediction
    assert answers[0].prediction in CLASSES
