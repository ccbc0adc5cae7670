"""One evaluation as one self-contained page, which loads nothing from other hosts."""

from importlib.resources import files
from pathlib import Path
from string import Template

from greengrocer.errors import UsageError
from greengrocer.evaluation.report.behaviour import answers, calibration
from greengrocer.evaluation.report.damage import damage
from greengrocer.evaluation.report.headline import cost, headline, published, source, trained_on
from greengrocer.evaluation.report.markup import escape
from greengrocer.evaluation.report.mistakes import mistakes
from greengrocer.evaluation.report.shops import shops
from greengrocer.evaluation.report.tables import classes, confused
from greengrocer.evaluation.report.training import training
from greengrocer.evaluation.run import Run
from greengrocer.regular_files import write_whole

PAGE = "index.html"


def write_report(run: Run, directory: Path) -> Path:
    """Write the page into ``directory``, which is made where it is missing; returns its path.

    The page holds images of the data set. Raises UsageError where it cannot be written.
    """
    page = directory / PAGE
    try:
        rendered = render(run)  # first: no empty folder is left where it is stopped
        directory.mkdir(parents=True, exist_ok=True)
        write_whole(page, rendered)
    except OSError as error:
        raise UsageError(f"the report {page} cannot be written: {error.strerror}") from error
    return page


def render(run: Run) -> str:
    """The page as HTML, with every style, chart and image inside it."""
    template = Template((files(__package__) / "report.html").read_text(encoding="utf-8"))
    manifest = run.manifest
    body = (
        headline(run),
        published(run),
        answers(run),
        calibration(run),
        shops(run),
        damage(run),
        confused(run),
        mistakes(run),
        training(run),
        cost(run),
        classes(run),
    )
    coarse = f" in {len(manifest.coarse)} coarse ones" if manifest.coarse else ""
    return template.substitute(
        name=escape(manifest.name),
        version=escape(manifest.version),
        pictures=f"{run.evaluation.scores.n:,}",
        source=escape(source(run)),
        classes=f"{len(manifest.classes)} classes{coarse}",
        training=escape(trained_on(manifest)),
        note=escape(run.note),
        body="\n".join(body),
    )
