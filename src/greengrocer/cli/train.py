"""``greengrocer train``: trains a bundle from labelled images and a recipe."""

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from greengrocer.cli.output import say
from greengrocer.errors import MissingExtra, UsageError
from greengrocer.minimum_versions import check_minimum_versions

if TYPE_CHECKING:
    from greengrocer.cli.commands import Commands


def register(commands: "Commands") -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "train",
        help="train a bundle",
        description="Train a bundle from labelled images. A run that was stopped goes on when it "
        "is started again with the same flags. Needs the extra `train`; with --quick, the small "
        "extra `quick`.",
    )
    _add_quick(parser)
    parser.add_argument(
        "--recipe",
        type=Path,
        metavar="FILE",
        help="recipe in TOML, as recipes/grocery.toml",
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="labelled images, as ~/groceries")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="BUNDLE",
        help="directory to write, as runs/shop (default with --quick: runs/, and PHOTOS' name)",
    )
    parser.add_argument(
        "--device",
        default="auto",
        choices=("auto", "cpu", "cuda"),
        help="hardware to train on; auto: the GPU where there is one (default: auto)",
    )
    parser.add_argument(
        "--folds",
        type=int,
        choices=range(2, 11),
        metavar="N",
        help="train on all images and calibrate by cross-validation with N folds, 2 to 10, as 5",
    )
    parser.add_argument(
        "--teacher",
        type=Path,
        action="append",
        default=[],
        metavar="BUNDLE",
        help="distil from an earlier --out of the same data and folds, as runs/large; repeatable",
    )
    parser.set_defaults(run=run)


def _add_quick(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "photos",
        type=Path,
        nargs="?",
        metavar="PHOTOS",
        help="labelled images, as ~/photos: a folder a class",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="train only a head, on a network that ships: about a minute, without PyTorch",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=7,
        metavar="N",
        help="with --quick: draws the folds (default: 7)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Train, export, quantise, check and save; a run that was stopped is continued."""
    _check(arguments)
    if arguments.quick:
        from greengrocer.cli.quick import train_quickly  # noqa: PLC0415

        return train_quickly(arguments.photos, arguments.out, arguments.seed)
    check_minimum_versions({"torch", "train"})
    try:
        from greengrocer.training.train import train  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingExtra("training", extra="train") from error
    from greengrocer.training.recipe import read_recipe  # noqa: PLC0415

    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # for a log's reader
    bundle = train(
        read_recipe(arguments.recipe),
        arguments.data,
        arguments.out,
        arguments.device,
        folds=arguments.folds,
        teachers=arguments.teacher,
        command=f"`{command_line(arguments)}`",
    )
    say(f"wrote {bundle}: try `greengrocer serve --bundle {bundle}`")
    return 0


def _check(arguments: argparse.Namespace) -> None:
    """Put the folder of images into ``photos`` and ``data``; refuse flags that do not go together.

    Raises UsageError.
    """
    if arguments.photos and arguments.data:
        raise UsageError("PHOTOS and --data both name the images: give one of them")
    arguments.photos = arguments.data = arguments.photos or arguments.data
    if arguments.photos is None:
        raise UsageError("train which images? Name a folder: greengrocer train PHOTOS --quick")
    if arguments.quick and arguments.recipe:
        raise UsageError("--quick has no recipe: leave out --quick or --recipe")
    if not arguments.quick and not (arguments.recipe and arguments.out):
        raise UsageError("give --recipe FILE and --out BUNDLE, or --quick")


def command_line(arguments: argparse.Namespace) -> str:
    """The command line that continues this run."""
    flags = ["--recipe", arguments.recipe, "--data", arguments.data, "--out", arguments.out]
    if arguments.device != "auto":
        flags += ["--device", arguments.device]
    if arguments.folds is not None:
        flags += ["--folds", arguments.folds]
    for teacher in arguments.teacher:
        flags += ["--teacher", teacher]
    return shlex.join(["greengrocer", "train", *map(str, flags)])
