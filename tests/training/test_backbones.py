"""A backbone of another package is trained by its name."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from greengrocer.assemble_pipeline import build_pipeline
from greengrocer.bundles.bundle import load_bundle
from greengrocer.cli.main import main
from greengrocer.context import Context
from greengrocer.errors import UsageError
from greengrocer.networks.backbone import backbone_names, make_backbone
from greengrocer.networks.efficientnet_lite import SHORT, EfficientNetLite
from greengrocer.networks.multiply_adds import multiply_adds
from greengrocer.training.recipe import Optimisation, Recipe
from greengrocer.training.train import train
from support.make_images import encoded

MODULE = """
import torch
from torch import nn

from greengrocer.networks.backbone import Backbone


class Tiny(Backbone):
    channels = 12
    mean = 0
    scale = 1 / 255
    pretrained_origin = "These weights are derived from ones that nobody trained."

    def __init__(self, name):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU()
        )
        self.body = nn.Sequential(
            nn.MaxPool2d(2), nn.Conv2d(8, 12, 3, 2, 1, groups=2), nn.BatchNorm2d(12), nn.SiLU()
        )

    def forward(self, x):
        return self.body(self.stem(x))

    def stages(self):
        return [[self.stem], [self.body]]

    def load_pretrained(self):
        nn.init.ones_(self.stem[0].weight)


def other(name):
    return nn.Identity()
"""
RECIPE = """
name = "tiny"
backbone = "tiny-net"
augmentation = { image_size = 32, color_jitter = 0.0, degrade_prob = 0.0 }
optimisation = { epochs = 12, batch_size = 8, lr = 1e-2, head_lr = 1e-1, ema_decay = 0.5 }
export = { image_size = 32, calibration_images = 8 }
"""
COLOURS = {"blue": (20, 40, 200), "red": (200, 40, 20)}


def square(colour: str, seed: int) -> bytes:
    noise = np.random.default_rng(seed).integers(-20, 20, (40, 40, 3))
    pixels = (np.array(COLOURS[colour]) + noise).clip(0, 255)
    return encoded(Image.fromarray(pixels.astype(np.uint8)), "PNG")


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that adds backbones, as pip would install it."""
    home = tmp_path / "site-packages"
    described = home / "tiny_net-1.0.dist-info"
    described.mkdir(parents=True)
    (home / "tiny_net.py").write_text(MODULE)
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-net\nVersion: 1.0\n")
    (described / "entry_points.txt").write_text(
        "[greengrocer.backbones]\n"
        "tiny-net = tiny_net:Tiny\nodd-net = tiny_net:other\nlost-net = tiny_net:missing\n"
    )
    monkeypatch.syspath_prepend(home)


def test_train_accepts_a_backbone_of_another_package_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for colour in COLOURS:
        (tmp_path / "data" / colour).mkdir(parents=True)
        for seed in range(16):
            (tmp_path / "data" / colour / f"{seed}.png").write_bytes(square(colour, seed))
    (tmp_path / "recipe.toml").write_text(RECIPE)
    flags = {"--recipe": "recipe.toml", "--data": "data", "--out": "bundle"}
    arguments = [each for flag, name in flags.items() for each in (flag, str(tmp_path / name))]
    assert main(["train", *arguments, "--device", "cpu"]) == 0, capsys.readouterr().err
    bundle = load_bundle(tmp_path / "bundle")
    for engine in ("onnx", "torch"):
        pipeline = build_pipeline(bundle, engine)
        for colour in COLOURS:
            answer = pipeline.classify(square(colour, 99), Context())
            assert (engine, answer.top[0].name) == (engine, colour)
        pipeline.close()
    assert bundle.manifest.network is not None
    assert bundle.manifest.network.architecture == "tiny-net"


def test_an_unknown_backbone_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    recipe = Recipe(name="mine", backbone="efficientnet-lite9")
    with pytest.raises(UsageError) as refused:
        train(recipe, tmp_path / "data", tmp_path / "out", "cpu")
    told = str(refused.value)
    assert told.startswith("there is no backbone 'efficientnet-lite9': did you mean efficientnet-")
    assert all(name in told for name in ("efficientnet-lite0", "efficientnet-lite4", "tiny-net"))


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("odd-net", r"'odd-net' \(tiny_net:other of tiny-net\) is not a subclass of greengrocer"),
        ("lost-net", r"\(tiny_net:missing of tiny-net\) cannot be loaded: AttributeError"),
    ],
)
def test_an_invalid_backbone_is_refused(name: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        make_backbone(name)


@pytest.mark.parametrize("number", range(5))
def test_every_efficientnet_lite_is_declared(number: int) -> None:
    assert f"efficientnet-lite{number}" in backbone_names()
    assert len(make_backbone(f"efficientnet-lite{number}").stages()) == 9


def test_a_short_network_starts_as_the_first_blocks_of_the_whole_one() -> None:
    whole, short = EfficientNetLite("efficientnet-lite0"), EfficientNetLite(SHORT)
    own_layer = {name: value.clone() for name, value in short.head.state_dict().items()}
    whole.load_pretrained()
    short.load_pretrained()
    assert (len(whole.blocks), len(short.blocks), short.channels) == (16, 13, 384)
    for part in ("stem", "blocks"):
        theirs = getattr(whole, part).state_dict()
        for name, value in getattr(short, part).state_dict().items():
            assert torch.equal(value, theirs[name]), name
    for name, value in short.head.state_dict().items():
        assert torch.equal(value, own_layer[name]), name
    assert multiply_adds(short, 160) < 0.15e9


def test_unknown_pretrained_weights_are_refused() -> None:
    with pytest.raises(UsageError, match="no package has pretrained weights of efficientnet-lite4"):
        make_backbone("efficientnet-lite4").load_pretrained()


def test_freezing_every_stage_is_refused(tmp_path: Path) -> None:
    for colour in COLOURS:
        (tmp_path / "data" / colour).mkdir(parents=True)
        for seed in range(2):
            (tmp_path / "data" / colour / f"{seed}.png").write_bytes(square(colour, seed))
    recipe = Recipe(
        name="mine",
        backbone="tiny-net",
        pretrained=False,
        optimisation=Optimisation(frozen_stages=2),
    )
    with pytest.raises(UsageError, match="frozen_stages is 2, and the backbone has 2 stages"):
        train(recipe, tmp_path / "data", tmp_path / "out", "cpu")
