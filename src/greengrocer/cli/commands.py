"""What every command's file has: ``register`` declares it, ``run`` runs it."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001


def add_model_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of every command that runs a model."""
    parser.add_argument(
        "--bundle",
        default="grocery",
        metavar="NAME|DIR",
        help="a shipped bundle's name, or a bundle's directory (default: grocery)",
    )
    parser.add_argument(
        "--engine",
        default="onnx",
        metavar="NAME",
        help="what runs the model: onnx, torch, or one that another package adds (default: onnx)",
    )
    parser.add_argument(
        "--device", default="auto", choices=("auto", "cpu", "cuda"), help="where it runs"
    )
