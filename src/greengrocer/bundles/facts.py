"""Describes a model in words, from its manifest: its training, figures and thresholds.

The provenance is any JSON and may be a stranger's: what is missing or odd in it is left out.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from greengrocer.bundles.attribution import data_set, pretrained_origin
from greengrocer.bundles.manifest import Manifest
from greengrocer.figures.intervals import wilson
from greengrocer.imaging.views import MOST_VIEWS

MAX_VALUE = 300  # characters of one value of the provenance
MAX_NUMBER = 1e12  # larger numbers are left out: they may not even fit into a float


class Fact(NamedTuple):
    """A line of two columns."""

    label: str
    text: str


class Figure(NamedTuple):
    """A metric as people read it. ``interval`` holds 95 %, and is empty where it is not known."""

    label: str
    value: str
    interval: str


class Measured(NamedTuple):
    """Figures that were measured on the same images, and which images those were."""

    where: str
    figures: tuple[Figure, ...]


_MEANINGS = {
    "top1": ("top-1", "%"),
    "coarse_top1": ("top-1, coarse", "%"),
    "macro_f1": ("macro-F1", "%"),
    "ece": ("calibration error (ECE)", "%"),
    "answer_precision": ("right where it names something", "%"),
    "named_fine": ("named by the class", "%"),
    "named_coarse": ("named by the coarse class", "%"),
    "named_unknown": ("not named", "%"),
    "looked_again": ("looked at by all views", "%"),
    "top1_float": ("top-1 before int8", "%"),
    "int8_agreement": ("int8 answers as float does", "%"),
    "int8_gain": ("top-1 gained by int8", "points"),
    "mixed_agreement": ("int8 with some layers in float answers as float does", "%"),
    "mixed_gain": ("top-1 gained by int8 with some layers in float", "points"),
    "nll": ("log-loss", "nats"),
    "nll_before_calibration": ("log-loss before calibration", "nats"),
}


def plain(text: str) -> str:
    """``text`` with a replacement character for each that would control a terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)


def knows(manifest: Manifest) -> str:
    """How many classes there are, such as "81 classes in 43 coarse ones"."""
    coarse = f" in {len(manifest.coarse):,} coarse ones" if manifest.coarse else ""
    return f"{len(manifest.classes):,} classes{coarse}"


def trained(manifest: Manifest) -> list[Fact]:
    """How the model was trained; empty where the provenance says nothing."""
    origin, recipe = manifest.provenance, _table(manifest.provenance, "recipe")
    facts = [
        Fact("network", _network(manifest)),
        Fact("imported from", _value(_table(origin, "imported").get("file"))),
        Fact("trained on", _trained_on(manifest)),
        Fact("held out", _pictures(_table(origin, "held_out"))),
        Fact("out of fold", _settings(_table(origin, "out_of_fold"))),
        Fact("teachers", _value(origin.get("teachers"))),
        Fact("recipe", _joined(", seed ", _value(recipe.get("name")), _value(recipe.get("seed")))),
    ]
    for name in recipe:
        table = _table(recipe, name)
        if "views" in table:
            table = {**table, "views": _views(table["views"])}
        if name != "data" and table.get("weight") != 0:  # "trained on" has it; it is switched off
            facts.append(Fact(name, _settings(table)))
    facts.append(Fact("numbers", _quantisation(_table(origin, "quantisation"))))
    made = _joined(" on ", _value(origin.get("date"))[:10], _value(origin.get("device")))
    if "imported" in origin:
        facts.append(Fact("precision", _value(origin.get("why"))))
    facts.append(Fact("made", made))
    facts.append(Fact("versions", _settings(_table(origin, "versions"))))
    return [Fact(_value(label), text) for label, text in facts if text]


def multiply_adds_of_a_view(manifest: Manifest) -> int | None:
    """What the network costs each time it looks at an image; None where it is not said."""
    return _count(manifest.provenance.get("multiply_adds_of_a_view"))


def pretrained(manifest: Manifest) -> bool:
    """Whether the recipe says that training began with pretrained weights."""
    return _table(manifest.provenance, "recipe").get("pretrained") is True


def measured(manifest: Manifest) -> list[Measured]:
    """The metrics by the images that they were measured on; those left over come last."""
    rest, found = dict(manifest.metrics), []
    for source, where in (
        ("out_of_fold", _out_of_fold(manifest)),
        ("held_out", _held_out(manifest)),
        ("refit", "on the images that it was trained on, which flatter it"),
        ("", "on images that the bundle does not name"),
    ):
        prefix = f"{source}_" if source else ""
        names = [name for name in rest if name.startswith(prefix)]
        metrics = {name.removeprefix(prefix): rest.pop(name) for name in names}
        sized = {name: metrics.pop(name) for name in list(metrics) if _SIZED.fullmatch(name)}
        figures = _figures(metrics)
        if figures:
            found.append(Measured(where, figures))
        if sized:
            found.append(_by_size(metrics, sized))
    return found


# A figure at an apparent size of what is shown, or of all such sizes.
_SIZED = re.compile(r"(\w+?)_(at_(\d{1,3}(?:\.\d{1,6})?)|over_sizes|worst_size)", re.ASCII)


def _by_size(at_1: Mapping[str, float], sized: Mapping[str, float]) -> Measured:
    """A line for each figure: its values at all sizes, then their mean and the worst."""
    parts = [found for found in map(_SIZED.fullmatch, sized) if found]
    sizes = sorted({1.0, *(float(part[3]) for part in parts if part[3])})
    told = []
    for name in dict.fromkeys(part[1] for part in parts):
        at = {**at_1, **sized}
        names = (name if size == 1 else f"{name}_at_{size:g}" for size in sizes)
        values = [at.get(each) for each in names]
        text = " / ".join("-" if value is None else f"{value:.1f}" for value in values) + " %"
        for words, key in (("mean", "over_sizes"), ("worst", "worst_size")):
            if f"{name}_{key}" in sized:
                text += f", {words} {sized[f'{name}_{key}']:.1f}"
        told.append(Figure(_MEANINGS.get(name, (_value(name.replace("_", " ")), ""))[0], text, ""))
    listed = " / ".join(f"{size:g}" for size in sizes)
    where = f"the same images at apparent sizes of {listed}: at 0.5 as from twice as far away"
    return Measured(where, tuple(told))


def doubts(manifest: Manifest) -> list[Fact]:
    """What each threshold means for an answer."""
    known, fine = manifest.known_threshold, manifest.fine_threshold
    told = "the model gives no score: `known` is null"
    if known is not None:
        told = f"a score of at least {known:.3f}; below, `known: false`{_set_by(manifest)}"
    facts = [Fact("known", told)]
    below = "the coarse class may be" if manifest.coarse else "the answer is `unknown`"
    facts.append(
        Fact("fine", f"a confidence of at least {fine:.3f} names the class; below, {below}")
        if fine
        else Fact("fine", "every known image is named by its class, however unsure")
    )
    if not manifest.calibrated:
        facts.append(
            Fact("doubt", "it is not calibrated: no images set its temperature or its thresholds")
        )
    if not manifest.evidence:
        facts.append(Fact("evidence", "none: the graph does not allow it"))
    if fine and manifest.coarse:
        coarse = f"a confidence of at least {manifest.coarse_threshold:.3f} names the coarse class"
        facts.append(Fact("coarse", f"{coarse} instead; below, the answer is `unknown`"))
    elif manifest.coarse:
        facts.append(Fact("coarse", "is given beside the class and never stands in for it"))
    return facts


def _set_by(manifest: Manifest) -> str:
    """How the threshold for known images was chosen, if the recipe says so."""
    recipe = _table(manifest.provenance, "recipe")
    share = _table(recipe, "export").get("known_quantile")
    if not isinstance(share, float) or not 0 < share < 1:
        return ""
    return f" (set so that at most {100 * share:.3g} % of known images fall below)"


def _network(manifest: Manifest) -> str:
    if manifest.network is None:
        return ""
    began = ", pretrained" if pretrained(manifest) else ""
    if began and "ImageNet" in pretrained_origin(manifest):
        began += " on ImageNet"
    return _value(manifest.network.architecture) + began


def _quantisation(told: dict[str, Any]) -> str:
    """Such as "float32; tried: int8 (-3.0 points of top-1, 92.0 % of the labels alike)"."""
    shipped = _value(told.get("shipped"))
    attempts = [told.get("out_of_fold"), told.get("attempts")]
    blocks = _value(told.get("float_blocks"))
    shipped += f", {blocks} in float" if shipped == "mixed" and blocks else ""
    tried = [each for part in attempts if isinstance(part, list) for each in part]
    refused = [each for each in tried if isinstance(each, dict) and not each.get("accepted")]
    costs = [cost for cost in map(_cost, refused) if cost]
    return f"{shipped}; it costs too much in {', '.join(costs)}" if costs else shipped


def _cost(attempt: dict[str, Any]) -> str:
    gain, agreement = attempt.get("gain"), attempt.get("agreement")
    if not isinstance(gain, float) or not isinstance(agreement, float):
        return ""
    images = _count(attempt.get("calibration_images"))
    how = f" with {images:,} calibration images" if images else ""
    cost = f"{gain:+.1f} points of top-1, {agreement:.1f} % of the labels alike"
    return f"{_value(attempt.get('precision'))}{how} ({cost})"


def _pictures(origin: dict[str, Any]) -> str:
    """Such as "2,640 images (train)"."""
    count, split = _count(origin.get("pictures")), _value(origin.get("split"))
    counted = f"{count:,} images" if count else ""
    return f"{counted or 'images'} ({split})" if split else counted


def _trained_on(manifest: Manifest) -> str:
    """Such as "2,640 images (train) of the Grocery Store Dataset"."""
    named = data_set(manifest) if "dataset" in manifest.provenance else None
    images = _pictures(_table(manifest.provenance, "training"))
    return _joined(" of the ", images, _value(named.name) if named else "")


def _out_of_fold(manifest: Manifest) -> str:
    folds = _count(_table(manifest.provenance, "out_of_fold").get("folds"))
    where = f"out of fold, {_measured_on(manifest, 'out_of_fold')}"
    if folds == 1:
        return (
            f"{where}, which did not train the first model; they set the temperature and the "
            "thresholds, then this model was trained on all images"
        )
    models = f"one of {folds} models" if folds else "a model"
    unseen = "nothing of its scene"
    if _table(manifest.provenance, "out_of_fold").get("of") == "shops":
        unseen += ", nor of others that look as if they were taken in the same shop"
    return (
        f"{where}, each answered by {models} that had seen {unseen}; they set the temperature "
        "and the thresholds, then this model was trained on all of them"
    )


def _held_out(manifest: Manifest) -> str:
    where = _measured_on(manifest, "held_out")
    if _table(manifest.provenance, "held_out").get("calibrates") is False:
        return f"held out, {where}, which trained nothing"
    return f"held out, {where}, which trained nothing but set the temperature and the thresholds"


def _measured_on(manifest: Manifest, source: str) -> str:
    count = _count(manifest.metrics.get(f"{source}_pictures"))
    split = _value(_table(manifest.provenance, source).get("split"))
    images = f"on {count:,} images" if count else "on images that are not counted"
    return f"{images} ({split})" if split else images


def _figures(metrics: dict[str, float]) -> tuple[Figure, ...]:
    """``metrics`` by their names without the source, each with its interval."""
    images = _count(metrics.get("pictures"))
    ends = {f"{name}_{end}" for name in metrics for end in ("low", "high")}
    return tuple(
        _figure(name, metrics, images)
        for name in metrics
        if name != "pictures" and name not in ends
    )


def _figure(name: str, metrics: dict[str, float], images: int | None) -> Figure:
    value, top1 = metrics[name], "top1" in name
    label, unit = _MEANINGS.get(name, (_value(name.replace("_", " ")), "%" if top1 else ""))
    interval = ""
    if top1 and images and 0 <= value <= 100:
        low, high = wilson(round(value * images / 100), images)
        interval = f"{100 * low:.1f} to {100 * high:.1f}"
    elif f"{name}_low" in metrics and f"{name}_high" in metrics:
        interval = f"{metrics[f'{name}_low']:.2f} to {metrics[f'{name}_high']:.2f}"
    digits = {"%": ".1f", "points": "+.2f", "nats": ".3f"}.get(unit, ".4g")
    return Figure(label, f"{value:{digits}} {unit}".strip(), interval)


def _table(tree: dict[str, Any], name: str) -> dict[str, Any]:
    found = tree.get(name)
    return found if isinstance(found, dict) else {}


def _settings(table: dict[str, Any]) -> str:
    """Such as "epochs 15, batch 32": settings that are off, or no plain values, are left out."""
    settings = ((name, value) for name, value in table.items() if value not in (0, False))
    texts = ((name, "on" if value is True else _value(value)) for name, value in settings)
    words = {"pictures": "images"}  # a key of the manifest, which keeps its name
    return ", ".join(f"{words.get(name, _value(name))} {value}" for name, value in texts if value)


def _views(shares: object) -> str:
    """Such as "1 + 0.6667", empty for one view of all of the input."""
    if not isinstance(shares, list | tuple) or len(shares) > MOST_VIEWS or list(shares) == [1]:
        return ""
    return " + ".join(map(_value, shares))


def _value(value: object) -> str:
    """A plain value on one line; empty where there is none."""
    text = ""
    match value:
        case bool():
            pass
        case str():
            text = plain(" ".join(value.split()))
        case int() if abs(value) <= MAX_NUMBER:
            text = str(value)
        case float():
            text = f"{value:g}"
        case [int() | float() as low, int() | float() as high]:
            text = f"{_value(low)} to {_value(high)}"
        case list() | tuple():
            text = _joined(" + ", *map(_value, value))
    return text[:MAX_VALUE]


def _joined(between: str, *parts: str) -> str:
    return between.join(filter(None, parts))


def _count(value: object) -> int | None:
    """A whole number from 1 on; None for anything else."""
    if isinstance(value, int | float) and 1 <= value <= MAX_NUMBER and value == int(value):
        return int(value)
    return None
