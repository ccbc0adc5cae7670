"""What every command's file has: ``register`` declares it, ``run`` runs it."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001

BUNDLE_HELP = (
    "a shipped bundle's name, as fast, a bundle's directory, as runs/shop, or its address, as "
    "s3://bucket/shop (default: grocery)"
)


def add_model_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of every command that runs a model."""
    parser.add_argument(
        "--bundle",
        default="grocery",
        metavar="BUNDLE",
        help=BUNDLE_HELP,
    )
    parser.add_argument(
        "--engine",
        default="onnx",
        metavar="NAME",
        help="library that runs the model: onnx, openvino, auto (the faster of these two), torch, "
        "or one that a package adds (default: onnx)",
    )
    parser.add_argument(
        "--device",
        default="auto",
        choices=("auto", "cpu", "cuda"),
        help="hardware; auto: a GPU where the engine can use one (default: auto)",
    )


def add_layout_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of every command that reads labelled images."""
    parser.add_argument(
        "--coarse",
        metavar="folders|none|places|FILE.csv",
        help="groups of classes: those of nested folders or of the list, none (the outermost "
        "folders are the classes), places (the outermost are places, the folders in them classes), "
        "or a CSV with the columns class and coarse (default: places where most folders recur in "
        "another of the outermost, else folders)",
    )
    parser.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="GLOB",
        help="files or folders that do not count, as '*_thumb.jpg' or 'misc/*'; repeatable",
    )
