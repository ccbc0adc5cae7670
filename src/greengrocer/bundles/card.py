"""The model card: a description of a model, its purpose and its figures, in Markdown.

After Mitchell et al., Model Cards for Model Reporting, FAT* 2019. The prose is in ``card.md``.
"""

import re
import textwrap
from collections.abc import Collection, Iterable, Mapping, Sequence
from importlib.resources import files
from string import Template

from greengrocer.bundles.attribution import data_set, is_grocery, pretrained_origin
from greengrocer.bundles.bundle import Bundle
from greengrocer.bundles.facts import (
    Measured,
    doubts,
    knows,
    measured,
    multiply_adds_of_a_view,
    plain,
    trained,
)
from greengrocer.bundles.manifest import STATISTICS, WEIGHTS, Manifest
from greengrocer.imaging.geometry import Geometry

CARD = "MODEL_CARD.md"
MAX_CARD_BYTES = 1 << 20
WIDTH = 100
NEEDED_BY = {
    WEIGHTS: ", which only the torch engine needs",
    STATISTICS: ", which only `greengrocer teach` and `forget` need",
}


# What differs in the card of a model of groceries: what it is for, and what it is not.
OF_GROCERIES = {
    "purpose": "It names the grocery item that a photograph shows, where a person or a later step "
    "can put a wrong name right: to sort images, to propose an item at a till or on a shopping "
    "list.",
    "harm": ": what is safe to eat, what holds an allergen, what somebody pays without a look",
    "unsaid": "It says nothing of ripeness, weight, amount or quality.",
    "change": "Packaging changes. A carton that has been redrawn since the images were taken is a "
    "new item.",
}
OF_ANYTHING = {
    "purpose": "It names what a photograph shows, where a person or a later step can put a wrong "
    "name right: to sort images, or to propose a name.",
    "harm": "",
    "unsaid": "It says nothing of what its classes do not name, as size, amount or quality.",
    "change": "Things change. What looks otherwise since the images were taken is new to it.",
}


def card(manifest: Manifest, sizes: Mapping[str, int] | None = None) -> str:
    """The card of the model that ``manifest`` describes; ``sizes`` are of its files, in bytes.

    Its facts come from the manifest alone, and no character of it controls a terminal.
    """
    template = Template((files(__package__) / "card.md").read_text(encoding="utf-8"))
    text = template.substitute(
        name=manifest.name,
        version=manifest.version,
        description=_escape(manifest.description),
        knows=f"It knows {knows(manifest)}. {_hierarchy(manifest)}",
        classes=_classes(manifest),
        origin=_origin(manifest),
        **(OF_GROCERIES if is_grocery(manifest) else OF_ANYTHING),
        training=_points(trained(manifest)) or "The bundle does not say.",
        figures=_figures(measured(manifest)),
        calibration=_calibration(manifest),
        seen=_seen(manifest.geometry) + _looked_at(manifest),
        files=_files(manifest, sizes or {}),
        licence=_licence(manifest),
    )
    return plain("\n\n".join(filter(None, map(_wrap, re.split(r"\n{2,}", text)))) + "\n")


def read_card(bundle: Bundle) -> str | None:
    """The card in the verified ``bundle``, safe for a terminal; None where there is none.

    A card that the manifest does not list is not verified, so it is not read. Raises BundleRefused
    where the card is over 1 MiB.
    """
    if CARD not in bundle.manifest.files:
        return None
    return plain(bundle.read(CARD, MAX_CARD_BYTES).decode(errors="replace"))


URL = re.compile(r"https?://[\w./~%-]+", re.ASCII)


def _origin(manifest: Manifest) -> str:
    """Which data set it was trained on, if the manifest says so."""
    found = data_set(manifest)
    if found is None:
        return "It can be relied on only for images like those that it was trained on."
    name = _escape(found.name)
    linked = f"[{name}]({found.url})" if URL.fullmatch(found.url) else name
    about = f", {_escape(found.about)}" if found.about else ""
    return f"Its classes are those of the {linked}{about}."


def _seen(geometry: Geometry) -> str:
    """What the model sees of an image."""
    size = f"{geometry.width} x {geometry.height} pixels ({geometry.resample})"
    if geometry.shape == "squeeze":
        if geometry.share < 1:
            return (
                f"The middle {100 * geometry.share:.0f} % of its width and of its height are "
                f"squeezed to {size}, the aspect given up: it does not see the edges."
            )
        return f"The whole of it is squeezed to {size}, its aspect given up."
    if geometry.shape == "letterbox":
        return f"The whole of it is scaled into {size}, with bars beside it."
    return (
        f"Its shorter side is scaled to {geometry.shorter_side} pixels, and the middle of that, "
        f"{size}, is what the model sees: it does not see the edges."
    )


def _looked_at(manifest: Manifest) -> str:
    """What of that the network looks at, where it is not all of it, once."""
    views, each = manifest.views, multiply_adds_of_a_view(manifest)
    if views is None:
        return ""
    shares = (round(100 * side / views.input_side) for side in views.sides)
    parts = ["all of it" if share == 100 else f"its middle {share} %" for share in shares]
    size = f"{views.size} x {views.size} pixels"
    edges = "" if "all of it" in parts else " It does not see the edges."
    if views.cascade is None:
        return f" Of that the network looks at {_listed(parts)}, by {size}.{edges}"
    return (
        f" Of that the network looks at {parts[0]} first, by {size}. Where a class then has a "
        f"probability of at least {views.cascade:g}, before calibration, that is all it looks at. "
        f"Where none has, it looks at {_listed(parts[1:])} as well, by as many pixels, and answers "
        f"by the mean: that takes {_cost(len(parts), each)}.{edges}"
    )


def _cost(count: int, each: int | None) -> str:
    """What ``count`` views take, as compared to one."""
    if each is None:
        return f"{count} times the multiply-adds"
    return f"{count * each / 1e9:.2f} G multiply-adds instead of {each / 1e9:.2f} G"


def _listed(parts: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))


def _hierarchy(manifest: Manifest) -> str:
    return "The coarse ones and what is in them:" if manifest.coarse else "They are:"


def _classes(manifest: Manifest) -> str:
    """A point for each coarse class of several, then one for all that stand alone."""
    if manifest.coarse is None or manifest.coarse_of is None:
        return _escape(", ".join(manifest.classes))
    members: dict[int, list[str]] = {coarse: [] for coarse in range(len(manifest.coarse))}
    for name, coarse in zip(manifest.classes, manifest.coarse_of, strict=True):
        members[coarse].append(name)
    several = [(manifest.coarse[k], ", ".join(m)) for k, m in members.items() if len(m) > 1]
    alone = [_alone(manifest.coarse[k], m[0]) for k, m in members.items() if len(m) == 1]
    return _points([*several, ("of one class each", ", ".join(alone))] if alone else several)


def _alone(coarse: str, name: str) -> str:
    return name if name == coarse else f"{coarse} ({name})"


def _figures(groups: Iterable[Measured]) -> str:
    """A sentence and a table for each group."""
    blocks = []
    for where, figures in groups:
        rows = [
            "| figure | value | 95 % interval |",
            "|---|---:|---:|",
            *(f"| {_escape(label)} | {value} | {interval} |" for label, value, interval in figures),
        ]
        blocks += [f"{where[0].upper()}{_escape(where[1:])}:", "\n".join(rows)]
    return "\n\n".join(blocks) or "The bundle holds no figures."


def _calibration(manifest: Manifest) -> str:
    facts = [(f"`{label}`", text) for label, text in doubts(manifest)]
    if manifest.network is not None:
        temperature = f"{manifest.network.temperature:.3g}; the network's logits are divided by it"
        meant = "so that of answers with a confidence of 0.9, nine in ten are meant to be right"
        facts.insert(0, ("temperature", f"{temperature}, {meant}"))
    return "\n".join(f"- **{label}**: {text}." for label, text in facts)


def _files(manifest: Manifest, sizes: Mapping[str, int]) -> str:
    """The other files of the bundle; goldens share a line, for they are many and small."""
    goldens = {golden.file for golden in manifest.goldens}
    rows = [
        f"- **{_escape(name)}**{_size([name], sizes)}{NEEDED_BY.get(name, '')}"
        for name in manifest.files
        if name not in goldens | {CARD}
    ]
    replayed = f"- **goldens** ({len(goldens)}){_size(goldens, sizes)}"
    return "\n".join([*rows, f"{replayed}: images whose answers are checked at every start"])


def _size(names: Collection[str], sizes: Mapping[str, int]) -> str:
    size = sum(sizes[name] for name in names if name in sizes)
    return f", {size / 1e6:.2f} MB" if size else ""


def _licence(manifest: Manifest) -> str:
    said = (
        "Greengrocer and the model that comes with it are under the Apache License, Version 2.0. "
        "The weights of a model that you train are yours, as far as your images' licences go."
    )
    found = data_set(manifest)
    if begun := pretrained_origin(manifest):
        said += f" {_escape(begun)}"
    if found is not None and found.licence:
        said += f" The {_escape(found.name)} is under the {_escape(found.licence)}."
    return said


def _points(facts: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"- **{_escape(label)}**: {_escape(text)}" for label, text in facts)


def _escape(text: str) -> str:
    """``text`` on one line, as Markdown that shows it letter by letter."""
    return re.sub(r"([\\`*\[\]<>|#])", r"\\\1", " ".join(text.split()))


def _wrap(block: str) -> str:
    """A paragraph or a list at its width; headings and tables are left as they are."""
    if block.startswith(("#", "|")):
        return block.strip()
    return "\n".join(map(_fill, re.split(r"\n(?=- )", block.strip())))


def _fill(part: str) -> str:
    kept = re.sub("`[^`]*`", lambda code: code[0].replace(" ", "\0"), " ".join(part.split()))
    indent = "  " if part.startswith("- ") else ""
    lines = textwrap.wrap(
        kept, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(lines).replace("\0", " ")
