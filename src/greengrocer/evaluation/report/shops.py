"""A report's section on other places: held-out groups, apparent size, reliability by group."""

import numpy as np

from greengrocer.evaluation.fold_answers import FoldAnswers
from greengrocer.evaluation.report.charts import reliability_panel, size_chart, strip
from greengrocer.evaluation.report.findings import reliability
from greengrocer.evaluation.report.markup import cell, number, section, table
from greengrocer.evaluation.run import Run
from greengrocer.figures.intervals import wilson
from greengrocer.figures.score import ClassIds, expected_calibration_error, macro_f1

HEADS = (("", "Held out"), ("num", "Images"), ("num", "Fine top-1"), ("num", "95 % interval"),
         ("wide", ""), ("num", "Macro-F1"), ("num", "ECE"))  # fmt: skip


def shops(run: Run) -> str:
    """Figures by group of images that were held out together; nothing for a run without them."""
    if (found := run.fold_answers) is None:
        return ""
    kind, meant = _kind(run)
    numbers = np.unique(found.groups).tolist()
    lead = (
        f"{len(found.labels):,} images of the training, in {len(numbers)} groups of {meant}. Each "
        "was answered by a model that had seen nothing of its group. This is what to expect of "
        "images that were taken elsewhere, as far as the groups are as unlike as other places are."
    )
    everywhere = np.arange(len(found.labels))
    members = {f"{kind} {each + 1}": np.flatnonzero(found.groups == each) for each in numbers}
    rows = [_row(found, name, rows) for name, rows in [*members.items(), ("all", everywhere)]]
    panels = "".join(
        _panel(found, f"shops-{place}", name, rows)
        for place, (name, rows) in enumerate(members.items())
    )
    told = (
        '<figure><div class="multiples">' + panels + "</div><figcaption>Share of right answers by "
        "confidence, group by group: it is calibrated where the bars end at the dotted line. One "
        "temperature was fitted to all groups.</figcaption></figure>"
    )
    shown = table("Figures by held-out group", HEADS, rows)
    parts = ('<div class="stack">', shown, _sizes(found), told, "</div>")
    return section("shops", "In places that it has not seen", lead, *parts)


def _kind(run: Run) -> tuple[str, str]:
    """What a group is called, and what is in it."""
    origin = run.manifest.provenance.get("out_of_fold")
    if isinstance(origin, dict) and origin.get("of") == "shops":
        return "shop", "scenes that look as if they were taken in one shop"
    return "fold", "whole scenes, which other groups may have from the same shop"


def _row(found: FoldAnswers, name: str, rows: ClassIds) -> str:
    right, n = found.right[rows], len(rows)
    share, interval = float(right.mean()), wilson(int(right.sum()), n)
    probabilities = found.probabilities[rows]
    f1 = macro_f1(probabilities.argmax(axis=1), found.labels[rows])
    ece = expected_calibration_error(probabilities.max(axis=1), right)
    return (
        f'<tr><th scope="row">{name}</th>'
        + cell(f"{n:,}", "num")
        + cell(number(share), "num")
        + cell(f"{100 * interval.low:.1f} to {number(interval.high)}", "num")
        + cell(strip(share, interval, 0.5, 1.0), "wide")
        + cell(number(f1), "num")
        + cell(number(ece), "num")
        + "</tr>"
    )


def _panel(found: FoldAnswers, anchor: str, name: str, rows: ClassIds) -> str:
    confidence, right = found.probabilities[rows].max(axis=1), found.right[rows]
    ece = expected_calibration_error(confidence, right)
    return reliability_panel(anchor, name, reliability(confidence, right), ece)


def _sizes(found: FoldAnswers) -> str:
    if found.right_by_size is None or len(found.sizes) < 2:
        return ""
    n = len(found.labels)
    points = list(zip(found.sizes, found.right_by_size.sum(axis=1).tolist(), strict=True))
    worst, right = min(points, key=lambda each: each[1])
    mean = float(found.right_by_size.mean())
    return (
        f"<figure>{size_chart(points, n)}<figcaption>Fine top-1 by apparent size: at 0.5 what is "
        "shown is as from twice as far away, amid its own blurred border; at 1.4 only its middle "
        f"is seen. The mean is {number(mean)}, the worst {number(right / n)} at {worst:g}. The "
        "band is Wilson's 95 % interval.</figcaption></figure>"
    )
