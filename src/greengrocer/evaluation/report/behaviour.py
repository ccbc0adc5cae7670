"""A report's charts: are confidences calibrated, and do scores separate known from unknown?"""

import numpy as np

from greengrocer.evaluation.report.charts import coverage_chart, known_chart, reliability_chart
from greengrocer.evaluation.report.findings import coverage, reliability
from greengrocer.evaluation.report.markup import cell, meter, number, section, table, tile
from greengrocer.evaluation.run import Run
from greengrocer.figures.intervals import auroc


def calibration(run: Run) -> str:
    """Calibration, and the accuracy if answers below a confidence are withheld."""
    n = run.evaluation.scores.n
    curve = coverage(run.confidence, run.correct)
    bins = reliability(run.confidence, run.correct)
    lead = (
        "First, the share of right answers at each confidence: it is calibrated where a bar ends "
        "at the dotted line, and the red outline is its error. Then, how accuracy rises as answers "
        "below a confidence are withheld."
    )
    points = [next(p for p in curve if p.answered >= share * n) for share in (0.8, 0.9)]
    caption = "; ".join(
        f"answering {number(p.answered / n)} of the images, those at least "
        f"{number(p.threshold)} sure, {number(p.right / p.answered)} are right"
        for p in points
    )
    return section(
        "calibration",
        "How far its confidence can be trusted",
        lead,
        '<div class="charts">',
        f"<figure>{reliability_chart(bins, run.evaluation.scores.ece)}<figcaption>Above: share of "
        "right answers by confidence, 15 bins. Below: share of the images.</figcaption></figure>",
        f"<figure>{coverage_chart(curve, n)}<figcaption>{caption[0].upper()}{caption[1:]}. The "
        "band is Wilson's 95 % interval.</figcaption></figure></div>",
    )


def answers(run: Run) -> str:
    """The answers of the service, and the score by which it calls an image unknown."""
    known, threshold = run.evaluation.known_scores, run.manifest.known_threshold
    if known is None or threshold is None:
        lead = "The model gives no known score: it calls no image unknown by it."
        return section("known", "Known or not", lead, f'<div class="stack">{_named(run)}</div>')
    lead = (
        f"An image is called unknown where its known score is below <b>{threshold:.3f}</b>. Each "
        "of the evaluated images shows a class of the model: the fewer of them, the better."
    )
    if run.unknown is not None:
        lead += (
            f" Hanging below are the {len(run.unknown):,} images that show nothing known; the "
            "AUROC is how often one of these scores lower than one of those."
        )
    else:
        lead += " Images of other things, named by --unknown DIR, would show the opposite error."
    return section(
        "known",
        "Known or not",
        lead,
        '<div class="charts">',
        f"<figure>{known_chart(known, run.unknown, threshold)}"
        f"<figcaption>{_legend(run.unknown is not None)}</figcaption></figure>",
        f'<div class="stack">{_named(run)}</div></div>',
    )


def _named(run: Run) -> str:
    """At which level the service would have named these images, and how often rightly."""
    named = run.evaluation.named
    rows = [
        f'<tr><th scope="row">{level}</th>{cell(number(share), "num")}'
        f"{cell(meter(share, level), 'wide')}</tr>"
        for level, share in named.answer_coverage.items()
    ]
    heads = (("", "Named as"), ("num", "Share"), ("wide", ""))
    tiles = _known_tiles(run)
    return table("How the images are named", heads, rows) + f'<dl class="tiles">{tiles}</dl>'


def _known_tiles(run: Run) -> str:
    known, threshold = run.evaluation.known_scores, run.manifest.known_threshold
    precision = run.evaluation.named.answer_precision
    tiles = []
    if known is not None and threshold is not None:
        lost, n = int(np.sum(known < threshold)), len(known)
        told = f"{lost:,} of {n:,} evaluated images"
        tiles.append(tile("Called unknown", number(lost / n), told))
    if precision is not None:
        tiles.append(tile("Right when it names", number(precision), "at whichever level"))
    if run.unknown is not None and known is not None and threshold is not None:
        caught, total = int(np.sum(run.unknown < threshold)), len(run.unknown)
        note = f"{caught:,} of {total:,} images"
        tiles.append(tile("Unknown turned away", number(caught / total), note))
        note = "0.5 is chance, 1 is perfect"
        tiles.append(tile("AUROC", f"{auroc(known, run.unknown):.3f}", note))
    return "".join(tiles)


def _legend(with_unknown: bool) -> str:
    words = "Up: the evaluated images, in 40 bins."
    return f"{words} Down: those that show nothing known." if with_unknown else words
