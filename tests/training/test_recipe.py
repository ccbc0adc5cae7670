import json
from pathlib import Path

import pytest

from greengrocer.bundles.manifest import read_manifest
from greengrocer.errors import UsageError
from greengrocer.imaging.geometry import Geometry
from greengrocer.imaging.views import Views
from greengrocer.training.learning.checkpoint import LATER
from greengrocer.training.recipe import (
    RENAMED,
    Augmentation,
    Export,
    Optimisation,
    Recipe,
    differences,
    read_back,
    read_recipe,
)

RECIPES = Path(__file__).parents[2] / "recipes"
SOUND = 'name = "mine"\nbackbone = "efficientnet-lite0"\n'

MISTAKES = {
    "not TOML": ("name = ", "is not TOML"),
    "not text": ("\udcff", "is not TOML"),
    "no backbone": ('name = "mine"', "backbone: Field required"),
    "an unknown setting": (
        SOUND + "[optimisation]\nepoch = 3",
        "no setting optimisation.epoch: did you mean epochs",
    ),
    "a number out of range": (
        SOUND + "[export]\nimage_size = 8",
        "export.image_size: .* greater than",
    ),
    "a view beyond the frame": (SOUND + "[export]\nviews = [1.0, 1.2]", "export: .* has 1.2 of"),
    "no view": (SOUND + "[export]\nviews = []", "export: .* 1 to 4 views, not 0"),
    "a cascade of one view": (SOUND + "[export]\ncascade = 0.7", "export: .* needs 2 views or"),
    "a cascade that is never sure": (
        SOUND + "[export]\nviews = [0.7, 1.0]\ncascade = 1.0",
        "export.cascade: .* less than 1",
    ),
    "too large an input": (
        SOUND + "[export]\nimage_size = 1024\nviews = [1.0, 0.25]",
        "export: .* an input of 4096 pixels",
    ),
    "a split to judge by": (SOUND + '[data]\nsplits = ["test"]', "data.splits.0: Input should"),
    "an old and a new name": (SOUND + 'network = "x"', "has both network and backbone, its new"),
    "val alone": (SOUND + '[data]\nsplits = ["val"]', "data.splits: .* choose"),
    "a bad name": (SOUND.replace("mine", "My Own"), "name: String should match"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_in_one_line(tmp_path: Path, mistake: str) -> None:
    text, why = MISTAKES[mistake]
    path = tmp_path / "recipe.toml"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(UsageError, match=why) as refusal:
        read_recipe(path)
    assert "\n" not in str(refusal.value)


def test_a_missing_recipe_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"recipe .*none\.toml: No such file"):
        read_recipe(tmp_path / "none.toml")


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_published_recipe_is_valid(path: Path) -> None:
    assert read_recipe(path).name == path.stem


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("sead = 3", "there is no setting sead: did you mean seed?"),
        (
            "[optimisation]\nepoch = 3",
            "there is no setting optimisation.epoch: did you mean epochs?",
        ),
        ("[augmentations]\nhflip = 0", "no setting augmentations: did you mean augmentation?"),
        ("[export]\ncolour = 1", "there is no setting export.colour"),
    ],
)
def test_an_unknown_setting_is_told_with_the_nearest(tmp_path: Path, text: str, meant: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f'name = "mine"\nbackbone = "efficientnet-lite0"\n{text}\n')
    with pytest.raises(UsageError) as refused:
        read_recipe(path)
    assert str(refused.value).endswith(meant)


def test_the_recipe_of_an_earlier_run_keeps_its_meaning() -> None:
    recipe = Recipe(name="mine", backbone="efficientnet-lite0")
    state = recipe.model_dump(mode="json")
    assert read_back(json.dumps(state)) == recipe
    del state["data"]
    for lever in ("linear_probe_epochs", "layer_decay", "frozen_batch_norm"):
        del state["optimisation"][lever]
    assert read_back(json.dumps(state)) == recipe
    assert read_back(json.dumps(state | {"mirror": True})) is None


OLD = """
name = "mine"
network = "efficientnet-lite0"
[augmentation]
size = 64
first_size = 32
area = [0.5, 1.0]
aspect = [0.5, 2.0]
rotation = 1
flip = 0.0
colour = 0.1
degrade = 0.2
[optimisation]
batch = 4
rate = 0.1
head_rate = 0.2
coarse_weight = 0.5
average = 0.9
probe_epochs = 1
frozen_norms = true
[export]
size = 96
calibration_pictures = 4
"""
NEW = Recipe(
    name="mine",
    backbone="efficientnet-lite0",
    augmentation=Augmentation(
        image_size=64,
        initial_image_size=32,
        scale=(0.5, 1.0),
        ratio=(0.5, 2.0),
        rotation_degrees=1,
        hflip=0.0,
        color_jitter=0.1,
        degrade_prob=0.2,
    ),
    optimisation=Optimisation(
        batch_size=4,
        lr=0.1,
        head_lr=0.2,
        coarse_loss_weight=0.5,
        ema_decay=0.9,
        linear_probe_epochs=1,
        frozen_batch_norm=True,
    ),
    export=Export(image_size=96, calibration_images=4),
)


def test_old_names_are_accepted_with_one_line_of_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(OLD)
    assert read_recipe(path) == NEW
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"warning: recipe {path} has settings with old names, which 1.0 will")
    for old, new in RENAMED.items():
        assert f"{old} is now {new}" in line


def test_current_names_give_no_warning(capsys: pytest.CaptureFixture[str]) -> None:
    for path in RECIPES.glob("*.toml"):
        read_recipe(path)
    assert capsys.readouterr().err == ""


def test_the_recipe_of_a_shipped_bundle_is_the_one_in_recipes(
    shipped_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = read_manifest(shipped_bundle)
    then = read_back(json.dumps(manifest.provenance["recipe"]))
    assert then is not None
    assert then == read_recipe(RECIPES / f"{manifest.name}.toml")
    assert capsys.readouterr().err == ""


def test_crops_grow_from_the_first_size_to_the_last() -> None:
    how = Augmentation(initial_image_size=192, image_size=270)
    sizes = [how.grown(epoch, 12).image_size for epoch in range(13)]
    assert sizes[0] == 192
    assert sizes == sorted(sizes)
    assert sizes[9:] == [270] * 4
    assert all(size % 16 == 0 for size in sizes[:9])
    assert Augmentation(image_size=270).grown(0, 12).image_size == 270


def test_one_training_makes_both_bundles_that_ship() -> None:
    fast, grocery = (read_recipe(RECIPES / f"{name}.toml") for name in ("fast", "grocery"))
    assert not differences(fast, grocery, LATER)
    assert fast.name != grocery.name


def test_the_tiny_bundles_teacher_splits_the_images_alike() -> None:
    fast, tiny = (read_recipe(RECIPES / f"{name}.toml") for name in ("fast", "tiny"))
    assert (tiny.data, tiny.split_seed) == (fast.data, fast.split_seed)
    assert tiny.distillation.weight > 0


def test_of_one_view_the_models_input_is_all_there_is() -> None:
    export = Export(image_size=64, views=(0.8,))
    assert export.geometry() == Geometry(width=64, height=64, share=0.8)
    assert export.seen() == Views.whole(64)
    several = Export(image_size=64, views=(0.8, 1.0))
    assert several.geometry() == Geometry(width=80, height=80)
    assert several.seen() == Views(80, (64, 80))
