"""Whose images and weights a model was made from, and under what licences: as its manifest says.

``provenance.dataset`` and ``provenance.pretrained_origin`` say it. Of a bundle that lacks the
second, the table here knows it by its architecture.
"""

from typing import NamedTuple

from greengrocer.bundles.manifest import Manifest


class DataSet(NamedTuple):
    """A data set, as ``provenance.dataset`` names it; what is not known is empty.

    ``about`` ends a sentence on the images.
    """

    name: str
    url: str = ""
    licence: str = ""
    about: str = ""


GROCERY = DataSet(
    "Grocery Store Dataset",
    "https://github.com/marcusklasson/GroceryStoreDataset",
    "MIT License (Klasson et al., WACV 2019)",
    "whose images were taken with a smartphone in grocery shops; the cartons among them are of "
    "brands sold in Sweden",
)

# By the beginning of the architecture's name, for bundles that do not say whose weights they began
# with.
PRETRAINED_ORIGINS = {
    "efficientnet-lite": "These weights are derived from ones that Google trained on ImageNet, "
    "which are under the Apache License, Version 2.0."
}


def data_set(manifest: Manifest) -> DataSet | None:
    """The data set that trained the model; None where the manifest names none."""
    found = manifest.provenance.get("dataset")
    if not isinstance(found, dict):
        return None
    texts = {name: found.get(name) for name in DataSet._fields}
    known = {name: text for name, text in texts.items() if isinstance(text, str) and text}
    return DataSet(**known) if "name" in known else None


def is_grocery(manifest: Manifest) -> bool:
    """Whether the manifest says that the Grocery Store Dataset trained the model."""
    found = data_set(manifest)
    return found is not None and found.name == GROCERY.name


def pretrained_origin(manifest: Manifest) -> str:
    """A sentence on the pretrained weights that training began with; empty where it says none."""
    found = manifest.provenance.get("pretrained_origin")
    if isinstance(found, str):
        return found
    recipe = manifest.provenance.get("recipe")
    began = isinstance(recipe, dict) and recipe.get("pretrained") is True
    if not began or manifest.network is None:
        return ""
    named = manifest.network.architecture
    return next((text for name, text in PRETRAINED_ORIGINS.items() if named.startswith(name)), "")
