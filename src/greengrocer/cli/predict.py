"""``greengrocer predict``: names for images on disk."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from greengrocer.cli.commands import add_model_flags
from greengrocer.cli.output import MISTAKE, until_nobody_reads

if TYPE_CHECKING:
    from greengrocer.cli.answers import Tell
    from greengrocer.cli.commands import Commands
    from greengrocer.pipeline import Pipeline
    from greengrocer.ranking import Ask


def register(commands: "Commands") -> None:
    """Declare the command."""
    parser = commands.add_parser("predict", help="name what images on disk show")
    parser.add_argument(
        "images",
        nargs="+",
        type=_path,
        metavar="IMAGE|DIR",
        help="a JPEG, PNG or WebP, with the extra heif a HEIC or AVIF, or a folder with such files "
        "at any depth",
    )
    parser.add_argument("--top", type=_count, default=5, metavar="K", help="classes to list")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object a line")
    form.add_argument("--csv", action="store_true", help="a table with a row an image")
    add_model_flags(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Classify each image; one that is refused is told and does not stop the others."""
    from greengrocer.assemble_pipeline import build_pipeline  # noqa: PLC0415
    from greengrocer.bundles.bundle import find_bundle, load_bundle  # noqa: PLC0415
    from greengrocer.cli import answers, pictures  # noqa: PLC0415
    from greengrocer.ranking import Ask  # noqa: PLC0415

    paths = pictures.find_pictures(arguments.images)
    bundle = load_bundle(find_bundle(arguments.bundle))
    pipeline = build_pipeline(bundle, arguments.engine, arguments.device)
    refused = 0
    with until_nobody_reads():
        if arguments.csv:
            answers.say_row(*answers.COLUMNS)
        tell = answers.tell_in_csv if arguments.csv else answers.tell_in_words
        tell = answers.tell_in_json if arguments.json else tell
        refused = _classify(pipeline, paths, Ask(arguments.top), tell)
    return MISTAKE if refused else 0


def _path(text: str) -> Path:
    if not text:  # as of a variable that is not set; to Path it would be the current directory
        raise argparse.ArgumentTypeError("a path is empty")
    return Path(text)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number from 1 is wanted, not {text!r}")
    return int(text)


def _classify(pipeline: "Pipeline", paths: list[Path], ask: "Ask", tell: "Tell") -> int:
    """Tell of each image in order, and return how many were refused."""
    from tqdm import tqdm  # noqa: PLC0415

    from greengrocer.cli.pictures import read_picture  # noqa: PLC0415
    from greengrocer.context import Context  # noqa: PLC0415
    from greengrocer.errors import ImageRefused  # noqa: PLC0415
    from greengrocer.ranking import Answer  # noqa: PLC0415
    from greengrocer.serving.threads import picture_threads, side_by_side  # noqa: PLC0415
    from greengrocer.tracebacks import release_frames  # noqa: PLC0415

    def classify(path: Path) -> Answer | ImageRefused:
        try:
            return pipeline.classify(read_picture(path), Context(str(path)), ask)
        except ImageRefused as refusal:
            release_frames(refusal)
            return refusal

    outcomes = side_by_side(classify, paths, picture_threads())
    # Lines on a terminal are progress enough, and the bar would stand among them.
    hidden = sys.stdout.isatty() or not sys.stderr.isatty()
    refused = 0
    bar = tqdm(outcomes, "predict", len(paths), unit="image", disable=hidden)
    for path, outcome in zip(paths, bar, strict=True):
        tell(path, outcome)
        refused += isinstance(outcome, ImageRefused)
    return refused
