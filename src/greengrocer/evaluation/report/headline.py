"""A report's figures: the headline, what others published on the data set, and the cost."""

from typing import Any, NamedTuple

from greengrocer.bundles.attribution import is_grocery
from greengrocer.bundles.manifest import Manifest
from greengrocer.evaluation.report.charts import percent, strip
from greengrocer.evaluation.report.markup import NONE, cell, escape, number, section, table, tile
from greengrocer.evaluation.run import Run
from greengrocer.figures.intervals import Interval, bootstrap, wilson
from greengrocer.figures.score import macro_f1
from greengrocer.safe_text import one_line

EXAMPLES = 5  # of the files that could not be read
SCALE = (0.70, 1.0)  # of the published comparison


class Published(NamedTuple):
    """A result in per cent; ``coarse`` is None where the source gives none."""

    model: str
    fine: float
    coarse: float | None
    source: str


PUBLISHED = (
    Published("DenseNet-201", 86.04, 91.99, "Antioquia, PCSC 2021"),
    Published("DenseNet-169", 85.75, 90.54, "Antioquia, PCSC 2021"),
    Published("ResNet-50", 85.39, 89.58, "Antioquia, PCSC 2021"),
    Published(
        "DenseNet-169, fine-tuned, with an SVM", 85.0, None, "Klasson, WACV 2019, arXiv 1901.00711"
    ),
    Published("ResNet-18", 78.31, None, "wengchienwei/retail-shelf-product-recognition"),
)

TEST_IMAGES = 2485  # in the official test split


def headline(run: Run) -> str:
    """The main figures."""
    scores = run.evaluation.scores
    labels, predicted = run.evaluation.labels, run.predicted
    f1 = bootstrap(lambda drawn: macro_f1(predicted[drawn], labels[drawn]), scores.n)
    tiles = [_proportion("Fine top-1", scores.fine_top1, scores.n)]
    if scores.coarse_top1 is not None:
        tiles.append(_proportion("Coarse top-1", scores.coarse_top1, scores.n))
    tiles.append(_proportion("Fine top-5", scores.fine_top5, scores.n))
    tiles.append(tile("Macro-F1", number(scores.macro_f1), _ends(f1), _span(scores.macro_f1, f1)))
    lead = (
        "With 95 % intervals: Wilson's for shares of the images, a bootstrap's for macro-F1. "
        "They show how much the figures could differ for another sample of as many images."
    )
    overlap = run.overlap.sentence(run.manifest, run.split, scores.n)
    lead += f" <strong>{escape(overlap)}</strong>"
    if run.split and run.split in str(_origin(run.manifest, "held_out").get("split")).split():
        lead += " This split set the temperature and the threshold; it trained nothing."
    lead += escape(_left_out(run))
    return section("figures", "At a glance", lead, f'<dl class="tiles">{"".join(tiles)}</dl>')


def _left_out(run: Run) -> str:
    """A sentence on the images that could not be read, if there are any."""
    files = [each.path.name for each in run.evaluation.unreadable]
    if not files:
        return ""
    more = f" and {len(files) - EXAMPLES:,} more" if len(files) > EXAMPLES else ""
    listed = one_line(", ".join(files[:EXAMPLES]))
    return f" Could not be read, and are left out: {listed}{more}."


def published(run: Run) -> str:
    """Our figures beside published ones; empty for a model of another data set."""
    if not is_grocery(run.manifest):
        return ""
    scores = run.evaluation.scores
    same = run.split == "test" and scores.n == TEST_IMAGES
    ours = Published(
        f"{run.manifest.name} {run.manifest.version}",
        100 * scores.fine_top1,
        None if scores.coarse_top1 is None else 100 * scores.coarse_top1,
        f"this run: {source(run)}, {scores.n:,} images",
    )
    rows = [(p.fine, _published_row(p)) for p in PUBLISHED]
    rows.append((ours.fine, _published_row(ours, scores.n)))
    rows.sort(key=lambda row: -row[0])
    caveat = (
        "Ours is from the same split."
        if same
        else f"<strong>Ours is from {escape(source(run))}, so the rows do not compare "
        "like with like.</strong>"
    )
    lead = (
        "Results published on the Grocery Store Dataset, all on its official test split. "
        f"{caveat} Our training data: {escape(trained_on(run.manifest))}."
    )
    scale = f"Fine, {percent(SCALE[0])} to {percent(SCALE[1])}"
    heads = (("", "Model"), ("num", "Fine"), ("num", "Coarse"),
             ("wide", scale), ("", "Where from"))  # fmt: skip
    rendered = [row for _, row in rows]
    return section(
        "published", "Beside what is published", lead, table("Published results", heads, rendered)
    )


def cost(run: Run) -> str:
    """Size, and time per image."""
    geometry, watch = run.manifest.geometry, run.stopwatch
    beside = f"the median of an image, {run.threads} side by side"
    tiles = (
        tile("Bundle", f"{run.bundle_bytes / 1e6:.1f} MB", "as it is served"),
        tile("Input", f"{geometry.width} x {geometry.height}", "pixels, 8 bit RGB"),
        tile("Decode and fit", f"{watch.decode_milliseconds:.1f} ms", beside),
        tile("Inference", f"{watch.infer_milliseconds:.1f} ms", f"{run.engine}, {beside}"),
    )
    lead = "Measured in this run, on this machine; a benchmark on a quiet one says more."
    return section("cost", "What it costs", lead, f'<dl class="tiles">{"".join(tiles)}</dl>')


def source(run: Run) -> str:
    """Where the images are from, such as "the split test"."""
    return f"the split {run.split}" if run.split else "a folder without splits"


def trained_on(manifest: Manifest) -> str:
    """Where the model's training and held-out images came from, as its manifest says."""
    training, held_out = _origin(manifest, "training"), _origin(manifest, "held_out")
    folded = _origin(manifest, "out_of_fold")
    if "split" not in training:
        count = training.get("pictures")
        named = isinstance(count, int) and count > 0
        return f"{count:,} images" if named else "images that the bundle does not name"
    said = f"{training['split']} ({training.get('pictures', 'unknown')} images)"
    if "split" in held_out:
        said += f"; temperature and threshold were set on {held_out['split']}"
    elif folded.get("folds") == 1:
        said += "; temperature and threshold were set on images that a first model had not seen"
    elif "folds" in folded:
        said += f"; temperature and threshold were set out of {folded['folds']} folds of it"
    return said


def _origin(manifest: Manifest, part: str) -> dict[str, Any]:
    """A part of the provenance, which is any JSON: a bundle may come from elsewhere."""
    found = manifest.provenance.get(part)
    return found if isinstance(found, dict) else {}


def _proportion(label: str, share: float, n: int) -> str:
    interval = wilson(round(share * n), n)
    return tile(label, number(share), _ends(interval), _span(share, interval))


def _ends(interval: Interval) -> str:
    return f"{100 * interval.low:.1f} to {number(interval.high)}"


def _span(value: float, interval: Interval) -> str:
    return strip(value, interval, 0.0, 1.0)


def _published_row(result: Published, n: int = 0) -> str:
    """A row; with ``n`` images it is ours, and has an interval."""
    fine = result.fine / 100
    interval = wilson(round(fine * n), n) if n else None
    kind = "ours" if n else "theirs"
    return (
        f'<tr class="{kind}"><th scope="row">{escape(result.model)}</th>'
        + cell(f"{result.fine:.2f} %", "num")
        + cell(NONE if result.coarse is None else f"{result.coarse:.2f} %", "num")
        + cell(strip(fine, interval, *SCALE), "wide")
        + cell(escape(result.source), "soft")
        + "</tr>"
    )
