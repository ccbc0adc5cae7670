"""``greengrocer evaluate``: scores a bundle on labelled images."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from greengrocer.cli.commands import add_layout_flags, add_model_flags
from greengrocer.cli.output import say, say_json, warn
from greengrocer.errors import DatasetUnusable, UsageError

if TYPE_CHECKING:
    from greengrocer.bundles.bundle import Bundle
    from greengrocer.cli.commands import Commands
    from greengrocer.datachecks.files import UnreadableFile
    from greengrocer.datasets.dataset import Dataset
    from greengrocer.evaluation.evaluate import Evaluation, UnknownImages
    from greengrocer.evaluation.fold_answers import FoldAnswers
    from greengrocer.evaluation.robustness import Robustness
    from greengrocer.evaluation.run import Stopwatch
    from greengrocer.evaluation.training_overlap import TrainingOverlap
    from greengrocer.pipeline import Pipeline

# What the figures are called in the terminal; in JSON they have their own names.
WORDS = {
    "fine_top1": "right class",
    "coarse_top1": "right group of classes",
    "fine_top5": "right class among the first five",
    "macro_f1": "F1, mean of the classes",
    "ece": "calibration error",
    "known_rate": "taken for a known class",
    "answer_precision": "right where it names something",
}
COVERAGE = {"fine": "a class", "coarse": "a group", "unknown": "no name"}


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
        "--fold-answers",
        type=Path,
        metavar="FILE",
        help="show in the report, group by group, how the images that a training with --folds held "
        "out were answered, as runs/shop.out_of_fold.npz",
    )
    parser.add_argument(
        "--unknown",
        type=Path,
        metavar="DIR",
        help="folder of images that show none of the classes, as street: how many are called "
        "unknown",
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
    from greengrocer.datasets.dataset import has_splits, read_split  # noqa: PLC0415
    from greengrocer.datasets.locations import default_data_dir  # noqa: PLC0415
    from greengrocer.evaluation.evaluate import known_scores  # noqa: PLC0415
    from greengrocer.evaluation.robustness import robustness  # noqa: PLC0415
    from greengrocer.evaluation.run import Stopwatch  # noqa: PLC0415
    from greengrocer.evaluation.training_overlap import scored_images  # noqa: PLC0415
    from greengrocer.serving.resources import usable_processors  # noqa: PLC0415
    from greengrocer.stores.fetch import open_bundle  # noqa: PLC0415

    data = arguments.data or default_data_dir()
    chosen = {"coarse": arguments.coarse, "exclude": arguments.exclude}
    labelled = read_split(data, arguments.split, **chosen)
    split = arguments.split if has_splits(data, **chosen) else None
    bundle = open_bundle(arguments.bundle)
    folded = _fold_answers(arguments, bundle)
    scored, overlap = scored_images(bundle, labelled, arguments.unseen)
    pipeline = build_pipeline(bundle, arguments.engine, arguments.device)
    pipeline.observer = stopwatch = Stopwatch()
    threads = usable_processors()
    found = _evaluate(pipeline, bundle, scored, overlap, threads)
    pipeline.observer = None  # times are those of the labelled images only
    damaged = robustness(pipeline, found, threads) if arguments.corruptions else None
    unknown = known_scores(pipeline, arguments.unknown, threads) if arguments.unknown else None
    unreadable = _left_out(found, unknown)
    _report(arguments, bundle, found, stopwatch, damaged, split, overlap, unknown, folded)
    turned_away = _turned_away(found, unknown, bundle)
    if arguments.json:
        say_json(
            asdict(found.scores)
            | asdict(found.named)
            | overlap._asdict()
            | {"unreadable": [{"path": str(each.path), "why": each.why} for each in unreadable]}
            | ({"corruptions": damaged.figures} if damaged else {})
            | ({"unknown": turned_away} if turned_away else {})
        )
        return 0
    manifest, images = bundle.manifest, found.scores.n
    say(f"{manifest.name} {manifest.version} on {images} images of {split or data}:")
    say(f"  {overlap.sentence(manifest, split, images)}")
    _say_figures(found, len(unreadable), turned_away)
    if damaged:
        _say_corruptions(damaged)
    return 0


def _evaluate(
    pipeline: "Pipeline",
    bundle: "Bundle",
    scored: "Dataset",
    overlap: "TrainingOverlap",
    threads: int,
) -> "Evaluation":
    """The figures; raises DatasetUnusable where all images that can be read were left out."""
    from greengrocer.evaluation.evaluate import NoneReadable, evaluate  # noqa: PLC0415

    try:
        return evaluate(pipeline, bundle.manifest, scored, threads)
    except NoneReadable as error:
        if not overlap.left_out:
            raise
        first = error.unreadable[0]
        raise DatasetUnusable(
            f"nothing is unseen: all {overlap.left_out:,} readable images trained it; "
            f"{len(error.unreadable):,} cannot be read, as {first.path}: {first.why}: give others "
            "with --data"
        ) from error


def _fold_answers(arguments: argparse.Namespace, bundle: "Bundle") -> "FoldAnswers | None":
    """What the folds of the bundle's training answered, where that is to be shown."""
    from greengrocer.evaluation.fold_answers import read_fold_answers  # noqa: PLC0415

    if not arguments.fold_answers:
        return None
    if not arguments.report:
        raise UsageError("--fold-answers is shown in a report: add --report DIR")
    return read_fold_answers(arguments.fold_answers, bundle.manifest)


def _left_out(found: "Evaluation", unknown: "UnknownImages | None") -> "tuple[UnreadableFile, ...]":
    """The images that could not be read; each is reported."""
    unreadable = (*found.unreadable, *(unknown.unreadable if unknown else ()))
    for each in unreadable:
        warn(f"left out {each.path}: {each.why}")
    return unreadable


def _turned_away(
    found: "Evaluation", unknown: "UnknownImages | None", bundle: "Bundle"
) -> dict[str, float] | None:
    """The figures of images that show none of the classes, where there are some."""
    threshold = bundle.manifest.known_threshold
    if unknown is None or found.known_scores is None or threshold is None:
        return None
    return unknown.figures(found.known_scores, threshold)


def _say_figures(
    found: "Evaluation", unreadable: int, turned_away: dict[str, float] | None
) -> None:
    from greengrocer.datachecks.problems import counted  # noqa: PLC0415

    if unreadable:
        say(f"  {counted(unreadable, 'image')} cannot be read: left out")
    figures = asdict(found.scores) | asdict(found.named)
    width = max(map(len, WORDS.values()))
    for name, words in WORDS.items():
        if figures[name] is not None:
            say(f"  {words:<{width}} {figures[name]:7.2%}")
    answered = ", ".join(f"{COVERAGE[k]} {v:.0%}" for k, v in found.named.answer_coverage.items())
    say(f"  it answers with {answered}")
    if turned_away:
        say(
            f"  of {turned_away['images']:,} images that show none of the classes, "
            f"{turned_away['called_unknown']:.2%} are called unknown (AUROC "
            f"{turned_away['auroc']:.3f}: 0.5 is chance, 1 is perfect)"
        )


def _say_corruptions(damaged: "Robustness") -> None:
    """One row per corruption, one column per severity."""
    rows = {**damaged.fine_top1, "mean": damaged.by_severity}
    say("right class under corruptions, at severities 1 to 5:")
    for name, shares in rows.items():
        say(f"  {name:<16} " + "  ".join(f"{share:7.2%}" for share in shares))
    if damaged.relative_loss is not None:
        say(f"  relative loss at severities 1 to 3: {damaged.relative_loss:.2%}")


def _report(
    arguments: argparse.Namespace,
    bundle: "Bundle",
    found: "Evaluation",
    stopwatch: "Stopwatch",
    damaged: "Robustness | None",
    split: str | None,
    overlap: "TrainingOverlap",
    unknown: "UnknownImages | None",
    folded: "FoldAnswers | None",
) -> None:
    """Write the report, where one is asked for."""
    if not arguments.report:
        return
    from greengrocer.evaluation.report.page import write_report  # noqa: PLC0415
    from greengrocer.evaluation.run import Run, served_bytes  # noqa: PLC0415
    from greengrocer.serving.resources import usable_processors  # noqa: PLC0415

    run = Run(
        manifest=bundle.manifest,
        split=split,
        engine=arguments.engine,
        threads=usable_processors(),
        bundle_bytes=served_bytes(bundle),
        evaluation=found,
        stopwatch=stopwatch,
        unknown=unknown.known_scores if unknown else None,
        robustness=damaged,
        overlap=overlap,
        fold_answers=folded,
    )
    warn(f"report written to {write_report(run, arguments.report)}")
