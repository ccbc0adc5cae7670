"""``greengrocer info``: what a bundle is, from its manifest."""

import argparse
from typing import TYPE_CHECKING

from greengrocer import __version__
from greengrocer.cli.output import say, say_json

if TYPE_CHECKING:
    from greengrocer.cli.commands import Commands


def register(commands: "Commands") -> None:
    """Declare the command."""
    parser = commands.add_parser("info", help="describe a bundle")
    parser.add_argument("--bundle", default="grocery", metavar="NAME|DIR", help="which bundle")
    parser.add_argument("--json", action="store_true", help="the whole manifest as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Verify the bundle and print its heart, or all of it as JSON."""
    from greengrocer.bundles.bundle import find_bundle, load_bundle  # noqa: PLC0415

    directory, manifest = load_bundle(find_bundle(arguments.bundle))
    paths = [directory / name for name in manifest.files]
    size = sum(path.stat().st_size for path in paths if path.exists())
    if arguments.json:
        say_json(
            {
                "greengrocer": __version__,
                "directory": str(directory),
                "bytes": size,
                **manifest.model_dump(mode="json"),
            }
        )
        return 0
    geometry = manifest.geometry
    coarse = f", {len(manifest.coarse)} coarse" if manifest.coarse else ""
    say(f"{manifest.name} {manifest.version}, verified, {size / 1e6:.1f} MB, in {directory}")
    if manifest.description:
        say(manifest.description)
    say(f"classes:  {len(manifest.classes)} fine{coarse}")
    say(f"input:    {geometry.width} x {geometry.height} pixels, {geometry.shape}")
    say(f"known:    a score of at least {manifest.known_threshold:.3f}")
    for name, value in manifest.metrics.items():
        say(f"{name + ':':<9} {value:.4g}")
    return 0
