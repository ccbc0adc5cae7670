"""``greengrocer train``: trains a bundle from labelled images, with a recipe or without one."""

import argparse
import os
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from greengrocer.cli.commands import add_layout_flags
from greengrocer.cli.output import say
from greengrocer.errors import MissingExtra, UsageError
from greengrocer.minimum_versions import check_minimum_versions

if TYPE_CHECKING:
    from greengrocer.cli.commands import Commands

# Turns of an empty loop, some microseconds; the default is hundreds of times as many.
SPINS = "1000"


def register(commands: "Commands") -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "train",
        help="train a bundle on a folder of photos",
        description="Train a bundle from labelled images: `greengrocer train PHOTOS` checks them, "
        "chooses a recipe, trains, and writes the bundle and a report. A run that was stopped goes "
        "on when it is started again with the same flags. Needs the extra `train`; with --quick, "
        "the small extra `quick`.",
    )
    parser.add_argument(
        "photos",
        type=Path,
        nargs="?",
        metavar="PHOTOS",
        help="labelled images, as ~/photos: a folder for each class, a CSV or JSONL that lists "
        "images, or a zip",
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="another spelling of PHOTOS")
    parser.add_argument(
        "--minutes",
        type=_minutes,
        metavar="N",
        help="choose network, image size and epochs so that it takes at most N minutes, as 10",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="train only a head, on a network that ships: about a minute, without PyTorch",
    )
    parser.add_argument(
        "--seed",
        type=_seed,
        metavar="N",
        help="seed of the first weights, the order and crops of the images, and the folds; which "
        "images are held out depends on the images alone, unless those of a class are all alike "
        "(default: 7)",
    )
    add_layout_flags(parser)
    _register_recipe(parser)
    parser.set_defaults(run=run)


def _register_recipe(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--recipe",
        type=Path,
        metavar="FILE",
        help="recipe in TOML, as recipes/grocery.toml (default: one that fits the images)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="BUNDLE",
        help="directory to write, as runs/shop (default: runs/, and PHOTOS' name)",
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
        help="backbone instead of the chosen or the recipe's, as timm:mobilenetv4_conv_small with "
        "the extra timm",
    )
    parser.add_argument(
        "--folds",
        type=int,
        choices=range(2, 11),
        metavar="N",
        help="with --recipe: train on all images and calibrate by cross-validation with N folds, "
        "2 to 10, as 5",
    )
    parser.add_argument(
        "--teacher",
        type=Path,
        action="append",
        default=[],
        metavar="BUNDLE",
        help="with --recipe: distil from an earlier --out of the same data and folds, as "
        "runs/large; repeatable",
    )


def run(arguments: argparse.Namespace) -> int:
    """Train, export, quantise and save; a run that was stopped is continued."""
    began = time.monotonic()
    _check(arguments)
    if arguments.quick:
        from greengrocer.cli.quick import train_quickly  # noqa: PLC0415

        seed = 7 if arguments.seed is None else arguments.seed
        chosen = {"coarse": arguments.coarse, "exclude": arguments.exclude}
        return train_quickly(arguments.photos, arguments.out, seed, **chosen)
    check_minimum_versions({"torch", "train"})
    _spin_little()
    try:
        from greengrocer.training import train  # noqa: F401, PLC0415
    except ModuleNotFoundError as error:
        raise MissingExtra("training", extra="train") from error
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # for a log's reader
    if arguments.recipe:
        bundle = _train_by_recipe(arguments)
    else:
        from greengrocer.cli.train_photos import train_and_report  # noqa: PLC0415

        bundle = train_and_report(arguments, f"`{command_line(arguments)}`", began)
    say(f"wrote {bundle}: try `greengrocer serve --bundle {bundle}`")
    return 0


def _spin_little() -> None:
    """Let PyTorch's threads give up the processor while they wait for each other.

    Else a thread that spins keeps the one that it waits for from running, wherever others use the
    processors, too. Beside one busy process a step took a third of the time so; on an idle machine
    of two cores a sixth more. Must come before PyTorch is loaded. Only GNU's OpenMP reads it.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)


def _train_by_recipe(arguments: argparse.Namespace) -> Path:
    from greengrocer.training.recipe import read_recipe  # noqa: PLC0415
    from greengrocer.training.train import train  # noqa: PLC0415

    recipe = read_recipe(arguments.recipe)
    if arguments.network is not None:
        recipe = recipe.model_copy(update={"backbone": arguments.network})
    return train(
        recipe,
        arguments.photos,
        arguments.out,
        arguments.device,
        folds=arguments.folds,
        teachers=arguments.teacher,
        command=f"`{command_line(arguments)}`",
    )


def _check(arguments: argparse.Namespace) -> None:
    """Put the folder of images into ``photos``, and its name into ``out`` where none is given.

    Raises UsageError for flags that do not go together.
    """
    if arguments.photos and arguments.data:
        raise UsageError("PHOTOS and --data both name the images: give one of them")
    arguments.photos = arguments.data = arguments.photos or arguments.data
    if arguments.photos is None:
        raise UsageError("train which images? Name a folder: greengrocer train PHOTOS")
    if arguments.quick:
        _check_quick(arguments)
    if (arguments.folds or arguments.teacher) and not arguments.recipe:
        raise UsageError("--folds and --teacher need --recipe FILE")
    if arguments.recipe and (arguments.minutes or arguments.seed is not None):
        raise UsageError("--minutes and --seed choose a recipe: leave them or --recipe out")
    if arguments.recipe and (arguments.coarse or arguments.exclude):
        raise UsageError(
            "--recipe reads the folder as it is: without it, --coarse and --exclude choose images"
        )
    if arguments.out is None:
        arguments.out = default_out(arguments.photos)


def _check_quick(arguments: argparse.Namespace) -> None:
    """Raise UsageError for a flag that a quick training would not follow."""
    if arguments.recipe:
        raise UsageError("--quick has no recipe: leave out --quick or --recipe")
    for name in ("minutes", "network"):
        if getattr(arguments, name) is not None:
            raise UsageError(
                f"--quick always trains a head on the network that ships: leave out --quick or "
                f"--{name}"
            )
    if arguments.device == "cuda":
        raise UsageError("--quick uses no GPU: leave out --quick or --device cuda")


def default_out(photos: Path) -> Path:
    """Where the bundle of ``photos`` is written: in runs, by the name of the folder or file."""
    place = photos.resolve()
    return Path("runs") / ((place.name if place.is_dir() else place.stem) or "photos")


def _minutes(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of minutes above 0")
    return value


def _seed(text: str) -> int:
    value = int(text) if text.isdecimal() and len(text) < 11 else -1
    if not 0 <= value < 2**32:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to {2**32 - 1}")
    return value


def command_line(arguments: argparse.Namespace) -> str:
    """The command line that continues this run."""
    command = ["greengrocer", "train", str(arguments.photos or arguments.data)]
    for name in _SHAPING:
        value = getattr(arguments, name)
        for each in value if isinstance(value, list) else [value]:
            text = f"{each:g}" if isinstance(each, float) else str(each)
            if each is not None and (name, each) != ("device", "auto"):
                command += [f"--{name}", text]
    return shlex.join(command)


# The flags that a continued run needs again.
_SHAPING = (
    *("out", "recipe", "minutes", "seed", "coarse", "exclude", "device", "network", "folds"),
    "teacher",
)
