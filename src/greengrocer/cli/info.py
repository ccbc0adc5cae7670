"""``greengrocer info``: describes a bundle, from its manifest and its model card."""

import argparse
import textwrap
from typing import TYPE_CHECKING

from greengrocer.cli.commands import BUNDLE_HELP
from greengrocer.cli.output import say, say_json
from greengrocer.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from greengrocer.bundles.bundle import Bundle
    from greengrocer.bundles.facts import Figure
    from greengrocer.cli.commands import Commands
    from greengrocer.imaging.geometry import Geometry

WIDTH = 100
COLUMN = 10  # where the second of two columns begins
MAX_NAMES = 500  # characters


def register(commands: "Commands") -> None:
    """Declare the command."""
    parser = commands.add_parser("info", help="describe a bundle")
    parser.add_argument("--bundle", default="grocery", metavar="BUNDLE", help=BUNDLE_HELP)
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--json", action="store_true", help="print the manifest and the model card as JSON"
    )
    form.add_argument("--card", action="store_true", help="print the model card, in Markdown")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Verify the bundle and print its main facts, its card, or all of it as JSON.

    Raises BundleRefused for a bundle that is damaged or incomplete.
    """
    from greengrocer.bundles.bundle import digest_of  # noqa: PLC0415
    from greengrocer.bundles.card import card, read_card  # noqa: PLC0415
    from greengrocer.bundles.facts import plain  # noqa: PLC0415
    from greengrocer.stores.fetch import open_bundle  # noqa: PLC0415

    bundle = open_bundle(arguments.bundle)
    directory, manifest = bundle
    paths = {name: directory / name for name in manifest.files}
    sizes = {name: path.stat().st_size for name, path in paths.items() if path.exists()}
    if arguments.json:
        say_json(
            {
                "greengrocer": __version__,
                "directory": str(directory),
                "digest": f"sha256:{digest_of(directory)}",
                "bytes": sum(sizes.values()),
                **manifest.model_dump(mode="json"),
                "card": read_card(bundle),
            }
        )
        return 0
    if arguments.card:
        stored = read_card(bundle)
        say((card(manifest, sizes) if stored is None else stored).rstrip("\n"))
        return 0
    for line in _summary(bundle, sum(sizes.values())):
        say(plain(line))
    return 0


def _summary(bundle: "Bundle", size: int) -> "Iterator[str]":
    """The lines that describe the model to a person."""
    from greengrocer.bundles.bundle import digest_of  # noqa: PLC0415
    from greengrocer.bundles.facts import doubts, knows, measured, trained  # noqa: PLC0415

    directory, manifest = bundle
    geometry = manifest.geometry
    yield f"{manifest.name} {manifest.version}, verified, {size / 1e6:.1f} MB, in {directory}"
    yield from textwrap.wrap(manifest.description, WIDTH, break_on_hyphens=False)
    names = textwrap.shorten(", ".join(manifest.coarse or manifest.classes), MAX_NAMES)
    yield from _row("knows", f"{knows(manifest)}: {names}")
    facts = dict(trained(manifest))
    if "imported from" in facts:
        facts["imported from"] = f"imported from {facts['imported from']}"
    wanted = ("network", "imported from", "trained on", "made")
    parts = [facts[label] for label in wanted if label in facts]
    yield from _row("trained", "; ".join(parts) or "the bundle does not say how")
    for where, figures in measured(manifest):
        yield from _row("figures", where)
        yield from _table(figures)
    for label, text in doubts(manifest):
        yield from _row(label, text)
    yield from _row("input", f"{geometry.width} x {geometry.height} pixels, {_shape(geometry)}")
    yield from _row("digest", f"sha256:{digest_of(directory)}")
    yield from _row("more", "--card prints the whole model card")


def _shape(geometry: "Geometry") -> str:
    part = f", its middle {100 * geometry.share:.0f} %" if geometry.share < 1 else ""
    return f"{geometry.shape}{part}"


def _table(figures: "Sequence[Figure]") -> "Iterator[str]":
    width = max(len(figure.label) for figure in figures)
    for label, value, interval in figures:
        beside = f"  (95 %: {interval})" if interval else ""
        yield f"{'':{COLUMN}}  {label:<{width}}  {value:>12}{beside}"


def _row(label: str, text: str) -> list[str]:
    """``text`` beside its label, wrapped in its own column."""
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=f"{label + ':':<{COLUMN}}",
        subsequent_indent=" " * COLUMN,
        break_on_hyphens=False,
    )
