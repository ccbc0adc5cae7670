"""``greengrocer predict``: classifies image files."""

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
    from greengrocer.ranking import AnswerOptions


def register(commands: "Commands") -> None:
    """Declare the command."""
    parser = commands.add_parser("predict", help="classify image files")
    parser.add_argument(
        "images",
        nargs="+",
        type=_path,
        metavar="IMAGE|DIR",
        help="a JPEG, PNG or WebP file, or a folder, which is searched at any depth, as photos/; "
        "with the extra heif also HEIC and AVIF",
    )
    parser.add_argument(
        "--top",
        type=_count,
        metavar="K",
        help="classes to list, as 3; at most the number of classes (default: 5)",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--json", action="store_true", help="print one JSON object per image and line"
    )
    form.add_argument("--csv", action="store_true", help="print CSV, one row per image")
    add_model_flags(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Classify each image; a refused one is reported and does not stop the others."""
    from greengrocer.assemble_pipeline import build_pipeline  # noqa: PLC0415
    from greengrocer.cli import answers, images  # noqa: PLC0415
    from greengrocer.stores.fetch import open_bundle  # noqa: PLC0415

    paths, unreadable = images.find_images(arguments.images)
    bundle = open_bundle(arguments.bundle)
    pipeline = build_pipeline(bundle, arguments.engine, arguments.device)
    options = _options(arguments.top, len(pipeline.labels.classes))
    refused = 0
    with until_nobody_reads():
        if arguments.csv:
            answers.say_row(*answers.COLUMNS)
        tell = answers.tell_in_csv if arguments.csv else answers.tell_in_words
        tell = answers.tell_in_json if arguments.json else tell
        refused = _classify(pipeline, paths, options, tell)
    return MISTAKE if refused or unreadable else 0


def _path(text: str) -> Path:
    if not text:  # a shell variable that is not set; Path would make it the current directory
        raise argparse.ArgumentTypeError("the path is empty: give a file or a folder")
    return Path(text)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 1 or more")
    return int(text)


def _options(top: int | None, classes: int) -> "AnswerOptions":
    """What to ask of a model with so many classes; raises UsageError for more of them."""
    from greengrocer.errors import UsageError  # noqa: PLC0415
    from greengrocer.ranking import DEFAULT_OPTIONS, AnswerOptions  # noqa: PLC0415

    if top is None:
        return DEFAULT_OPTIONS
    if top > classes:
        raise UsageError(f"--top is {top}: this model has {classes} classes")
    return AnswerOptions(top)


def _classify(
    pipeline: "Pipeline", paths: list[Path], options: "AnswerOptions", tell: "Tell"
) -> int:
    """Report each image in order, and return how many were refused."""
    from tqdm import tqdm  # noqa: PLC0415

    from greengrocer.cli.images import read_image  # noqa: PLC0415
    from greengrocer.context import Context  # noqa: PLC0415
    from greengrocer.errors import ImageRefused, InvalidAnswer, Refusal  # noqa: PLC0415
    from greengrocer.ranking import Answer  # noqa: PLC0415
    from greengrocer.serving.pool import side_by_side  # noqa: PLC0415
    from greengrocer.serving.resources import picture_threads  # noqa: PLC0415
    from greengrocer.tracebacks import release_frames  # noqa: PLC0415

    def classify(path: Path) -> Answer | Refusal:
        try:
            return pipeline.classify(read_image(path), Context(str(path)), options)
        except (ImageRefused, InvalidAnswer) as refusal:
            release_frames(refusal)
            return refusal

    outcomes = side_by_side(classify, paths, picture_threads())
    # On a terminal the lines show the progress, and a bar would be printed between them.
    hidden = sys.stdout.isatty() or not sys.stderr.isatty()
    refused = 0
    bar = tqdm(outcomes, "predict", len(paths), unit="image", disable=hidden)
    for path, outcome in zip(paths, bar, strict=True):
        tell(path, outcome)
        refused += isinstance(outcome, Refusal)
    return refused
