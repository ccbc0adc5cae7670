"""``greengrocer train``: trains a bundle from labelled images and a recipe."""

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from greengrocer.cli.output import say
from greengrocer.errors import MissingExtra
from greengrocer.minimum_versions import check_minimum_versions

if TYPE_CHECKING:
    from greengrocer.cli.commands import Commands


def register(commands: "Commands") -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "train",
        help="train a bundle",
        description="Train a bundle from labelled images. A run that was stopped continues when it "
        "is started again with the same flags. Needs the extra `train`.",
    )
    parser.add_argument(
        "--recipe",
        type=Path,
        required=True,
        metavar="FILE",
        help="recipe in TOML, as recipes/grocery.toml",
    )
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="labelled images, as ~/groceries"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="BUNDLE", help="directory to write, as runs/shop"
    )
    parser.add_argument(
        "--device",
        default="auto",
        choices=("auto", "cpu", "cuda"),
        help="hardware to train on; auto: the GPU where there is one (default: auto)",
    )
    parser.add_argument(
        "--network",
        metavar="NAME",
        help="backbone instead of the recipe's, as timm:mobilenetv4_conv_small with the extra timm",
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


def run(arguments: argparse.Namespace) -> int:
    """Train, export, quantise, check and save; a run that was stopped is continued."""
    check_minimum_versions({"torch", "train"})
    try:
        from greengrocer.training.train import train  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingExtra("training", extra="train") from error
    from greengrocer.training.recipe import read_recipe  # noqa: PLC0415

    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # for a log's reader
    recipe = read_recipe(arguments.recipe)
    if arguments.network is not None:
        recipe = recipe.model_copy(update={"backbone": arguments.network})
    bundle = train(
        recipe,
        arguments.data,
        arguments.out,
        arguments.device,
        folds=arguments.folds,
        teachers=arguments.teacher,
        command=f"`{command_line(arguments)}`",
    )
    say(f"wrote {bundle}: try `greengrocer serve --bundle {bundle}`")
    return 0


def command_line(arguments: argparse.Namespace) -> str:
    """The command line that continues this run."""
    flags = ["--recipe", arguments.recipe, "--data", arguments.data, "--out", arguments.out]
    if arguments.device != "auto":
        flags += ["--device", arguments.device]
    if arguments.network is not None:
        flags += ["--network", arguments.network]
    if arguments.folds is not None:
        flags += ["--folds", arguments.folds]
    for teacher in arguments.teacher:
        flags += ["--teacher", teacher]
    return shlex.join(["greengrocer", "train", *map(str, flags)])
