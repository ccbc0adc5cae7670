"""``greengrocer train PHOTOS``: the training, and the report on the held-out images at its end."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from greengrocer.assemble_pipeline import build_pipeline
from greengrocer.bundles.bundle import load_bundle
from greengrocer.cli.output import say
from greengrocer.errors import DatasetUnusable
from greengrocer.evaluation.evaluate import evaluate
from greengrocer.evaluation.report.page import write_report
from greengrocer.evaluation.run import Run, Stopwatch, served_bytes
from greengrocer.evaluation.training_overlap import scored_images
from greengrocer.figures.intervals import wilson
from greengrocer.serving.resources import usable_processors
from greengrocer.training.job import remove_judged
from greengrocer.training.one_command import Asked, announce, train_photos

if TYPE_CHECKING:
    from greengrocer.training.one_command import Trained


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
        network=arguments.network,
    )
    trained = train_photos(asked, announce)
    _report(trained)
    return trained.bundle


def _report(trained: "Trained") -> None:
    """Answer the held-out images as the service does, and say and write how well.

    Those that trained the model that answers, if any, are left out.
    """
    bundle, threads = load_bundle(trained.judged), usable_processors()
    try:
        scored, overlap = scored_images(bundle, trained.held_out, unseen=True)
    except DatasetUnusable:
        say("each held-out image is a copy of one that trained: nothing is left to judge it by")
        return
    pipeline = build_pipeline(bundle)  # replays the goldens, too
    pipeline.observer = stopwatch = Stopwatch()
    found = evaluate(pipeline, bundle.manifest, scored, threads)
    pipeline.observer = None
    refitted = trained.judged != trained.bundle
    note = ""
    if refitted:
        shipped = load_bundle(trained.bundle).manifest
        note = (
            f"This is the first model. The one that ships, {shipped.version}, has learned from "
            "these images as well."
        )
    run = Run(
        manifest=bundle.manifest,
        split=None,
        engine="onnx",
        threads=threads,
        bundle_bytes=served_bytes(bundle),
        evaluation=found,
        stopwatch=stopwatch,
        overlap=overlap,
        note=note,
    )
    page = write_report(run, trained.bundle / "report")
    scores = found.scores
    low, high = wilson(round(scores.fine_top1 * scores.n), scores.n)
    say(
        f"{100 * scores.fine_top1:.1f} % of {scores.n:,} held-out images are right "
        f"(95 % interval {100 * low:.0f} to {100 * high:.0f}); the report is {page}"
    )
    if refitted:
        remove_judged(trained.bundle)  # it is no longer needed
        say("the model that ships has learned from the held-out images as well")
