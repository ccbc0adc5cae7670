import json
from pathlib import Path

import pytest

from greengrocer.errors import UsageError
from greengrocer.training.recipe import Augmentation, Recipe, read_back, read_recipe

RECIPES = Path(__file__).parents[2] / "recipes"
SOUND = 'name = "mine"\nnetwork = "efficientnet-lite0"\n'

MISTAKES = {
    "not TOML": ("name = ", "is not TOML"),
    "not text": ("\udcff", "is not TOML"),
    "no network": ('name = "mine"', "network: Field required"),
    "an unknown network": (SOUND.replace("lite0", "lite9"), "network: Input should be"),
    "an unknown setting": (SOUND + "[optimisation]\nepoch = 3", "optimisation.epoch: Extra"),
    "a number out of range": (SOUND + "[export]\nsize = 8", "export.size: .* greater than"),
    "a split to judge by": (SOUND + '[data]\nsplits = ["test"]', "data.splits.0: Input should"),
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
def test_every_published_recipe_is_sound(path: Path) -> None:
    assert read_recipe(path).name == path.stem


def test_an_earlier_runs_recipe_means_what_it_meant() -> None:
    recipe = Recipe(name="mine", network="efficientnet-lite0")
    state = recipe.model_dump(mode="json")
    assert read_back(json.dumps(state)) == recipe
    del state["data"]
    for lever in ("probe_epochs", "layer_decay", "frozen_norms"):
        del state["optimisation"][lever]
    assert read_back(json.dumps(state)) == recipe
    assert read_back(json.dumps(state | {"mirror": True})) is None


def test_crops_grow_from_the_first_size_to_the_last() -> None:
    how = Augmentation(first_size=192, size=270)
    sizes = [how.grown(epoch, 12).size for epoch in range(13)]
    assert sizes[0] == 192
    assert sizes == sorted(sizes)
    assert sizes[9:] == [270] * 4
    assert all(size % 16 == 0 for size in sizes[:9])
    assert Augmentation(size=270).grown(0, 12).size == 270
