"""``greengrocer predict``: names for pictures on disk."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from greengrocer.cli.commands import add_model_flags
from greengrocer.cli.output import MISTAKE, say, say_json, warn
from greengrocer.errors import PictureRefused

if TYPE_CHECKING:
    from greengrocer.cli.commands import Commands
    from greengrocer.pipeline import Pipeline
    from greengrocer.ranking import Answer


def register(commands: "Commands") -> None:
    """Declare the command."""
    parser = commands.add_parser("predict", help="name what pictures on disk show")
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="JPEG, PNG or WebP")
    parser.add_argument("--top", type=_count, default=5, metavar="K", help="classes to list")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    add_model_flags(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Classify each picture; one that is refused is told and does not stop the others."""
    from greengrocer.assemble import build_pipeline  # noqa: PLC0415
    from greengrocer.bundles.bundle import find_bundle, load_bundle  # noqa: PLC0415
    from greengrocer.web.schemas import prediction_body  # noqa: PLC0415

    bundle = load_bundle(find_bundle(arguments.bundle))
    pipeline = build_pipeline(bundle, arguments.engine, arguments.device)
    refused = 0
    for path in arguments.images:
        try:
            answer = _classify(pipeline, path, arguments.top)
        except (PictureRefused, OSError) as error:
            refused += 1
            reason = error.strerror if isinstance(error, OSError) else error
            warn(f"greengrocer: {path}: {reason}")
            continue
        if arguments.json:
            say_json({"file": str(path), **prediction_body(answer, request_id=str(path))})
        else:
            say(f"{path}: {_sentence(answer)}")
    return MISTAKE if refused else 0


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number from 1 is wanted, not {text!r}")
    return int(text)


def _classify(pipeline: "Pipeline", path: Path, top: int) -> "Answer":
    from greengrocer.context import Context  # noqa: PLC0415

    return pipeline.classify(path.read_bytes(), Context(str(path)), top)


def _sentence(answer: "Answer") -> str:
    best = answer.top[0]
    sentence = f"{best.name} ({best.confidence:.0%})"
    return sentence if answer.known else f"nothing that the model knows; nearest is {sentence}"
