"""``greengrocer evaluate``: scores a bundle on labelled images."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from greengrocer.cli.commands import add_layout_flags, add_model_flags
from greengrocer.cli.output import say, say_json, warn

if TYPE_CHECKING:
    from greengrocer.bundles.bundle import Bundle
    from greengrocer.cli.commands import Commands
    from greengrocer.evaluation.evaluate import Evaluation
    from greengrocer.evaluation.robustness import Robustness
    from greengrocer.evaluation.run import Stopwatch
    from greengrocer.evaluation.training_overlap import TrainingOverlap
    from greengrocer.pipeline import Pipeline


def register(commands: "Commands") -> None:
    """Declare the command."""
    parser = commands.add_parser("evaluate", help="score a bundle on labelled images")
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="the data set, a folder with one sub-folder of images per class, as ~/shop, a CSV or "
        "JSONL that lists images, or a zip (default: where `data download` puts the data set)",
    )
    add_layout_flags(parser)
    parser.add_argument(
        "--split",
        default="val",
        choices=("val", "test", "train"),
        help="which images of the data set; a folder without splits is scored whole (default: val)",
    )
    parser.add_argument(
        "--unseen", action="store_true", help="leave out images that the model was trained on"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--report",
        type=Path,
        metavar="DIR",
        help="write an HTML report with charts into DIR, as report",
    )
    parser.add_argument(
        "--unknown",
        type=Path,
        metavar="DIR",
        help="folder of images that show none of the classes, as street; for --report",
    )
    parser.add_argument(
        "--corruptions",
        action="store_true",
        help="score 35 damaged versions of each image as well: 7 corruptions at 5 severities",
    )
    add_model_flags(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Evaluate with the serving pipeline and print the figures."""
    from greengrocer.assemble_pipeline import build_pipeline  # noqa: PLC0415
    from greengrocer.bundles.bundle import find_bundle, load_bundle  # noqa: PLC0415
    from greengrocer.datasets.dataset import has_splits, read_split  # noqa: PLC0415
    from greengrocer.datasets.locations import default_data_dir  # noqa: PLC0415
    from greengrocer.errors import UsageError  # noqa: PLC0415
    from greengrocer.evaluation.evaluate import evaluate  # noqa: PLC0415
    from greengrocer.evaluation.robustness import robustness  # noqa: PLC0415
    from greengrocer.evaluation.run import Stopwatch  # noqa: PLC0415
    from greengrocer.evaluation.training_overlap import scored_images  # noqa: PLC0415
    from greengrocer.serving.resources import usable_processors  # noqa: PLC0415

    if arguments.unknown and not arguments.report:
        raise UsageError("--unknown needs --report DIR")
    data = arguments.data or default_data_dir()
    chosen = {"coarse": arguments.coarse, "exclude": arguments.exclude}
    labelled = read_split(data, arguments.split, **chosen)
    split = arguments.split if has_splits(data, **chosen) else None
    bundle = load_bundle(find_bundle(arguments.bundle))
    scored, overlap = scored_images(bundle, labelled, arguments.unseen)
    pipeline = build_pipeline(bundle, arguments.engine, arguments.device)
    pipeline.observer = stopwatch = Stopwatch()
    found = evaluate(pipeline, bundle.manifest, scored, usable_processors())
    pipeline.observer = None  # times are those of the labelled images only
    damaged = robustness(pipeline, found, usable_processors()) if arguments.corruptions else None
    if arguments.report:
        _report(arguments, bundle, pipeline, found, stopwatch, damaged, split, overlap)
    if arguments.json:
        figures = asdict(found.scores) | asdict(found.named)
        say_json(
            figures | overlap._asdict() | ({"corruptions": damaged.figures} if damaged else {})
        )
        return 0
    say(
        f"{bundle.manifest.name} {bundle.manifest.version} on {found.scores.n} images of "
        f"{split or data}:"
    )
    say(f"  {overlap.sentence(bundle.manifest, split, found.scores.n)}")
    _say_figures(found)
    if damaged:
        _say_corruptions(damaged)
    return 0


def _say_figures(found: "Evaluation") -> None:
    for name, value in (asdict(found.scores) | asdict(found.named)).items():
        if isinstance(value, float):
            say(f"  {name:<16} {value:7.2%}")
    say("  " + ", ".join(f"{k} {v:.0%}" for k, v in found.named.answer_coverage.items()))


def _say_corruptions(damaged: "Robustness") -> None:
    """One row per corruption, one column per severity."""
    rows = {**damaged.fine_top1, "mean": damaged.by_severity}
    say("fine_top1 under corruptions, at severities 1 to 5:")
    for name, shares in rows.items():
        say(f"  {name:<16} " + "  ".join(f"{share:7.2%}" for share in shares))
    if damaged.relative_loss is not None:
        say(f"  relative loss at severities 1 to 3: {damaged.relative_loss:.2%}")


def _report(
    arguments: argparse.Namespace,
    bundle: "Bundle",
    pipeline: "Pipeline",
    found: "Evaluation",
    stopwatch: "Stopwatch",
    damaged: "Robustness | None",
    split: str | None,
    overlap: "TrainingOverlap",
) -> None:
    from greengrocer.evaluation.evaluate import known_scores  # noqa: PLC0415
    from greengrocer.evaluation.report.page import write_report  # noqa: PLC0415
    from greengrocer.evaluation.run import Run, served_bytes  # noqa: PLC0415
    from greengrocer.serving.resources import usable_processors  # noqa: PLC0415

    threads = usable_processors()
    unknown = known_scores(pipeline, arguments.unknown, threads) if arguments.unknown else None
    run = Run(
        manifest=bundle.manifest,
        split=split,
        engine=arguments.engine,
        threads=threads,
        bundle_bytes=served_bytes(bundle),
        evaluation=found,
        stopwatch=stopwatch,
        unknown=unknown,
        robustness=damaged,
        overlap=overlap,
    )
    warn(f"report written to {write_report(run, arguments.report)}")
