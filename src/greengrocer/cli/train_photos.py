"""``greengrocer train PHOTOS``: the training, and the report on the held-out images at its end."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from greengrocer.assemble_pipeline import build_pipeline
from greengrocer.bundles.bundle import load_bundle
from greengrocer.cli.output import say
from greengrocer.evaluation.evaluate import evaluate
from greengrocer.evaluation.report.page import write_report
from greengrocer.evaluation.run import Run, Stopwatch, served_bytes
from greengrocer.evaluation.training_overlap import TrainingOverlap
from greengrocer.figures.intervals import wilson
from greengrocer.serving.resources import usable_processors
from greengrocer.training.one_command import Asked, announce, train_photos

if TYPE_CHECKING:
    from greengrocer.datasets.dataset import Dataset


def train_and_report(arguments: argparse.Namespace, command: str, began: float) -> Path:
    """Train, and write the report into the folder ``report`` of the bundle; returns the bundle.

    The command ``began`` then, by ``time.monotonic``.
    """
    asked = Asked(
        arguments.photos,
        arguments.out,
        arguments.minutes,
        arguments.seed,
        arguments.device,
        command,
        began,
        coarse=arguments.coarse,
        exclude=tuple(arguments.exclude),
    )
    trained = train_photos(asked, announce)
    _report(trained.bundle, trained.held_out)
    return trained.bundle


def _report(directory: Path, held_out: "Dataset") -> None:
    """Answer the held-out images as the service does, and say and write how well."""
    bundle, threads = load_bundle(directory), usable_processors()
    pipeline = build_pipeline(bundle)  # replays the goldens, too
    pipeline.observer = stopwatch = Stopwatch()
    found = evaluate(pipeline, bundle.manifest, held_out, threads)
    pipeline.observer = None
    run = Run(
        manifest=bundle.manifest,
        split=None,
        engine="onnx",
        threads=threads,
        bundle_bytes=served_bytes(bundle),
        evaluation=found,
        stopwatch=stopwatch,
        overlap=TrainingOverlap(0),
    )
    page = write_report(run, directory / "report")
    scores = found.scores
    low, high = wilson(round(scores.fine_top1 * scores.n), scores.n)
    say(
        f"{100 * scores.fine_top1:.1f} % of {scores.n:,} held-out images are right "
        f"(95 % interval {100 * low:.0f} to {100 * high:.0f}); the report is {page}"
    )
