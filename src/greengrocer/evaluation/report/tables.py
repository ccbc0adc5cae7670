"""A report's tables: the confusions that matter, and every class."""

import numpy as np

from greengrocer.evaluation.report.findings import class_figures, confusions
from greengrocer.evaluation.report.markup import (
    NONE,
    cell,
    class_name,
    meter,
    number,
    section,
    table,
)
from greengrocer.evaluation.run import Run

CONFUSIONS = 12


def confused(run: Run) -> str:
    """The pairs of classes that are confused most often."""
    pairs = confusions(run.predicted, run.evaluation.labels)
    if not pairs:
        return section("confusions", "Confusions that matter", "No class was taken for another.")
    wrong = sum(pair.n for pair in pairs)
    lead = f"{wrong} of {run.evaluation.scores.n:,} images got another class than their own."
    if run.manifest.coarse is not None:
        inside = sum(p.n for p in pairs if _same_coarse(run, p.truth, p.predicted))
        lead += f" <b>{inside}</b> of them stayed inside the coarse class."
    totals = np.bincount(run.evaluation.labels)
    rows = []
    for pair in pairs[:CONFUSIONS]:
        share = pair.n / int(totals[pair.truth])
        rows.append(
            "<tr>"
            + cell(class_name(run.manifest.classes[pair.truth]))
            + cell(class_name(run.manifest.classes[pair.predicted]))
            + cell(f"{pair.n} of {totals[pair.truth]}", "num")
            + cell(meter(share, "bad"), "wide")
            + cell(_badge(run, pair.truth, pair.predicted))
            + "</tr>"
        )
    heads = (("", "True"), ("", "Predicted"), ("num", "Images"), ("wide", "Share of the class"),
             ("", "Coarse class"))  # fmt: skip
    return section("confusions", "Confusions that matter", lead, table("Confusions", heads, rows))


def classes(run: Run) -> str:
    """Every class, the worst first."""
    rows = []
    for figures in class_figures(run.predicted, run.evaluation.labels):
        name = run.manifest.classes[figures.label]
        coarse = run.coarse_name(figures.label)
        rows.append(
            f'<tr><th scope="row">{class_name(name)}</th>'
            + (cell(class_name(coarse), "soft") if coarse is not None else "")
            + cell(str(figures.n), "num")
            + cell(number(figures.recall), "num")
            + cell(meter(figures.recall), "wide")
            + cell(number(figures.precision), "num")
            + cell(meter(figures.precision or 0), "wide")
            + "</tr>"
        )
    heads = [("", "Class"), ("num", "n"), ("num", "Recall"), ("wide", ""), ("num", "Precision"),
             ("wide", "")]  # fmt: skip
    if run.manifest.coarse is not None:
        heads.insert(1, ("", "Coarse class"))
    lead = (
        "Recall is the share of a class's images that were named right, precision the share of "
        "its namings that were. Few images make coarse steps."
    )
    return section(
        "classes", "Class by class", lead, table("Figures by class", heads, rows, "tall")
    )


def _same_coarse(run: Run, truth: int, predicted: int) -> bool:
    return run.coarse_name(truth) == run.coarse_name(predicted)


def _badge(run: Run, truth: int, predicted: int) -> str:
    """Whether a confusion stays inside the coarse class."""
    home, away = run.coarse_name(truth), run.coarse_name(predicted)
    if home is None or away is None:
        return NONE
    if home == away:
        return f'<span class="badge inside">inside {class_name(home)}</span>'
    return f'<span class="badge">{class_name(home)} → {class_name(away)}</span>'
