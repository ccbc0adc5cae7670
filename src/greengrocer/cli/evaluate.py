"""``greengrocer evaluate``: how good a bundle is on labelled pictures."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from greengrocer.cli.commands import add_model_flags
from greengrocer.cli.output import say, say_json

if TYPE_CHECKING:
    from greengrocer.cli.commands import Commands


def register(commands: "Commands") -> None:
    """Declare the command."""
    parser = commands.add_parser("evaluate", help="score a bundle on labelled pictures")
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="the data set's root or its dataset/, or a folder a class "
        "(default: where `data download` puts it)",
    )
    parser.add_argument("--split", default="val", choices=("val", "test", "train"))
    parser.add_argument("--json", action="store_true", help="one JSON object")
    add_model_flags(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Evaluate with the serving pipeline and print the figures."""
    from greengrocer.assemble import build_pipeline  # noqa: PLC0415
    from greengrocer.bundles.bundle import find_bundle, load_bundle  # noqa: PLC0415
    from greengrocer.datasets.labelled import read_split  # noqa: PLC0415
    from greengrocer.datasets.locations import default_data_dir  # noqa: PLC0415
    from greengrocer.evaluation.evaluate import evaluate  # noqa: PLC0415
    from greengrocer.serving.processors import usable_processors  # noqa: PLC0415

    labelled = read_split(arguments.data or default_data_dir(), arguments.split)
    bundle = load_bundle(find_bundle(arguments.bundle))
    pipeline = build_pipeline(bundle, arguments.engine, arguments.device)
    found = evaluate(pipeline, bundle.manifest, labelled, usable_processors())
    figures = asdict(found.scores) | asdict(found.named)
    if arguments.json:
        say_json(figures)
        return 0
    manifest = bundle.manifest
    say(f"{manifest.name} {manifest.version} on {found.scores.n} pictures of {arguments.split}:")
    for name, value in figures.items():
        if isinstance(value, float):
            say(f"  {name:<16} {value:7.2%}")
    say("  " + ", ".join(f"{k} {v:.0%}" for k, v in found.named.answer_coverage.items()))
    return 0
