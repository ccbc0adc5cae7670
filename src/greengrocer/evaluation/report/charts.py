"""Charts as SVG to stand inside a page, whose style sheet colours them: pure functions."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from greengrocer.engines.engine import Floats
from greengrocer.evaluation.report.findings import Bin, Coverage
from greengrocer.figures.intervals import Interval, wilson

WIDTH = 440
LEFT, RIGHT = 50, WIDTH - 20  # room for labels
HEIGHT = 390
QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)
PANEL = (230, 170)  # of a small chart, one of many
SCORE_BINS = 40
FIRST_POINT = 0.05  # of the images: fewer say nothing about accuracy


@dataclass(frozen=True)
class Plot:
    """The rectangle of a plot in the chart's units, and the values at its corners."""

    left: float
    top: float
    right: float
    bottom: float
    x0: float = 0.0
    x1: float = 1.0
    y0: float = 0.0
    y1: float = 1.0

    def x(self, value: float) -> float:
        """The horizontal position of a value."""
        return self.left + (value - self.x0) / (self.x1 - self.x0) * (self.right - self.left)

    def y(self, value: float) -> float:
        """The vertical position of a value."""
        return self.bottom - (value - self.y0) / (self.y1 - self.y0) * (self.bottom - self.top)

    def bar(self, kind: str, across: tuple[float, float], up: tuple[float, float]) -> str:
        """A rectangle between two pairs of values, with a small gap to its neighbours."""
        left, right = sorted(map(self.x, across))
        top, bottom = sorted(map(self.y, up))
        air = min(0.75, (right - left) / 4)
        return (
            f'<rect class="{kind}" x="{left + air:.2f}" y="{top:.2f}" '
            f'width="{right - left - 2 * air:.2f}" height="{bottom - top:.2f}"/>'
        )

    def line(self, kind: str, points: Sequence[tuple[float, float]]) -> str:
        """A line through pairs of values."""
        return f'<polyline class="{kind}" points="{self._points(points)}"/>'

    def area(self, kind: str, points: Sequence[tuple[float, float]]) -> str:
        """A filled polygon through pairs of values."""
        return f'<polygon class="{kind}" points="{self._points(points)}"/>'

    def grid(
        self, ys: Sequence[float], name: str, label: Callable[[float], str] | None = None
    ) -> str:
        """Lines across for ``ys`` and their labels, in per cent, and those of the x axis."""
        parts = [
            self.line("grid", [(self.x0, y), (self.x1, y)])
            + text(self.left - 6, self.y(y) + 4, percent(abs(y)), "end")
            for y in ys
        ]
        for x in QUARTERS:
            words = label(x) if label else percent(x)
            parts.append(text(self.x(x), self.bottom + 16, words, "middle"))
        parts.append(text(self.right, self.bottom + 34, name, "end"))
        return "".join(parts)

    def _points(self, points: Sequence[tuple[float, float]]) -> str:
        return " ".join(f"{self.x(x):.2f},{self.y(y):.2f}" for x, y in points)


def reliability_chart(bins: Sequence[Bin], ece: float) -> str:
    """Accuracy over confidence with each bin's error; below, each bin's number of images."""
    plot = Plot(LEFT, 12, RIGHT, 272)
    total = max(1, sum(b.n for b in bins))
    most = max([b.n / total for b in bins] + [1e-9])
    below = Plot(LEFT, 304, RIGHT, 364, y1=most)
    parts = [plot.grid(QUARTERS, "")]
    for b in bins:
        if b.n:
            parts.append(plot.bar("bar", (b.low, b.high), (0, b.accuracy)))
            parts.append(plot.bar("gap", (b.low, b.high), (b.accuracy, b.confidence)))
            parts.append(below.bar("quiet", (b.low, b.high), (0, b.n / total)))
    parts.append(plot.line("ideal", [(0, 0), (1, 1)]))
    parts.append(below.line("grid", [(0, 0), (1, 0)]))
    parts.append(
        text(LEFT - 6, below.top + 9, percent(most), "end") + text(LEFT - 6, 364, "0 %", "end")
    )
    parts.append(text(plot.right, 382, "confidence", "end"))
    parts.append(text(plot.left + 8, plot.top + 14, f"ECE {100 * ece:.1f} %", "start", "strong"))
    named = [f"{percent(b.low)} to {percent(b.high)}: {percent(b.accuracy)}" for b in bins if b.n]
    return _svg(
        "reliability",
        "Reliability diagram",
        f"Share of right answers by confidence in {len(bins)} bins, with the histogram of "
        f"confidences below. {'; '.join(named)}. Expected calibration error {ece:.1%}.",
        parts,
    )


def known_chart(known: Floats, unknown: Floats | None, threshold: float) -> str:
    """Histogram of known scores, those of images that show nothing known hanging below it."""
    up = _shares(known)
    down = _shares(unknown) if unknown is not None else [0.0]
    high = _ceiling(max(up))
    low = -_ceiling(max(down)) if unknown is not None else 0.0
    plot = Plot(LEFT, 30, RIGHT, 348, y0=low, y1=high)
    parts = [plot.grid(sorted({low, 0.0, high / 2, high}), "known score", "{:g}".format)]
    for kind, sign, shares in (("bar", 1, up), ("other", -1, down)):
        for i, share in enumerate(shares):
            if share:
                across = (i / SCORE_BINS, (i + 1) / SCORE_BINS)
                parts.append(plot.bar(kind, across, (0, sign * share)))
    parts.append(plot.line("axis", [(0, 0), (1, 0)]))
    parts.append(plot.line("threshold", [(threshold, low), (threshold, high)]))
    side, shift = ("start", 4) if threshold < 0.6 else ("end", -4)
    label = f"threshold {threshold:.3f}"
    parts.append(text(plot.x(threshold) + shift, 22, label, side, "strong"))
    description = (
        f"{np.mean(known < threshold):.1%} of the evaluated images lie below the threshold"
    )
    if unknown is not None:
        description += f", and {np.mean(unknown < threshold):.1%} of the unknown ones"
    return _svg("known", "Histogram of the known score", f"{description}.", parts)


def coverage_chart(curve: Sequence[Coverage], n: int) -> str:
    """Accuracy of the answered images over the share answered, with its 95 % interval."""
    shown = [point for point in curve if point.answered >= FIRST_POINT * n]
    band = [(point.answered / n, wilson(point.right, point.answered)) for point in shown]
    floor = np.floor(min(interval.low for _, interval in band) * 10) / 10
    plot = Plot(LEFT, 12, RIGHT, 348, y0=min(0.9, float(floor)))
    ys = np.linspace(plot.y0, 1, 1 + round((1 - plot.y0) / (0.05 if plot.y0 >= 0.75 else 0.1)))
    outline = [(x, i.low) for x, i in band] + [(x, i.high) for x, i in reversed(band)]
    parts = [
        plot.grid([float(y) for y in ys], "share of the images answered"),
        plot.area("band", outline),
        plot.line("curve", [(p.answered / n, p.right / p.answered) for p in shown]),
    ]
    last = shown[-1]
    parts.append(
        f'<circle class="point" cx="{plot.x(last.answered / n):.2f}" '
        f'cy="{plot.y(last.right / last.answered):.2f}" r="4.5"/>'
    )
    return _svg(
        "coverage",
        "Accuracy against coverage",
        f"From {shown[0].right / shown[0].answered:.1%} right where {shown[0].answered} images "
        f"are answered to {last.right / last.answered:.1%} where all {n} are.",
        parts,
    )


def training_chart(curve: Sequence[tuple[int, int, int]]) -> str:
    """Accuracy on held-out images over epochs: (epoch, right, of), with its 95 % interval."""
    band = [(epoch, wilson(right, of)) for epoch, right, of in curve]
    floor = float(np.floor(min(interval.low for _, interval in band) * 10) / 10)
    plot = Plot(LEFT, 12, RIGHT, 348, x0=curve[0][0], x1=curve[-1][0], y0=min(0.9, floor))
    ys = np.linspace(plot.y0, 1, 1 + round((1 - plot.y0) / 0.1))
    outline = [(x, i.low) for x, i in band] + [(x, i.high) for x, i in reversed(band)]
    shares = [(epoch, right / of) for epoch, right, of in curve]
    parts = [
        _epochs(plot, [(float(y), percent(float(y))) for y in ys]),
        plot.area("band", outline),
        plot.line("curve", shares),
    ]
    return _svg(
        "training",
        "Held-out images that are right, by epoch",
        f"From {shares[0][1]:.1%} after epoch {shares[0][0]} to {shares[-1][1]:.1%} after epoch "
        f"{shares[-1][0]}.",
        parts,
    )


def loss_chart(curve: Sequence[tuple[int, float]]) -> str:
    """The loss of the training images over epochs: (epoch, loss)."""
    most = max([loss for _, loss in curve] + [1e-9])
    plot = Plot(LEFT, 12, RIGHT, 348, x0=curve[0][0], x1=curve[-1][0], y1=most)
    parts = [
        _epochs(plot, [(share * most, f"{share * most:.2g}") for share in QUARTERS]),
        plot.line("curve", curve),
    ]
    words = f"From {curve[0][1]:.3g} in epoch {curve[0][0]} to {curve[-1][1]:.3g} in the last."
    return _svg("loss", "Loss, by epoch", words, parts)


def size_chart(points: Sequence[tuple[float, int]], n: int) -> str:
    """Accuracy over apparent size, on a logarithmic scale: (size, right) of ``n`` images each."""
    band = [(math.log2(size), wilson(right, n)) for size, right in points]
    floor = float(np.floor(min(interval.low for _, interval in band) * 10) / 10)
    plot = Plot(LEFT, 12, RIGHT, 348, x0=band[0][0], x1=band[-1][0], y0=min(0.9, floor))
    outline = [(x, i.low) for x, i in band] + [(x, i.high) for x, i in reversed(band)]
    shares = [(math.log2(size), right / n) for size, right in points]
    parts = []
    for y in np.linspace(plot.y0, 1, 1 + round((1 - plot.y0) / 0.1)).tolist():
        parts.append(plot.line("grid", [(plot.x0, y), (plot.x1, y)]))
        parts.append(text(plot.left - 6, plot.y(y) + 4, percent(y), "end"))
    parts += [plot.area("band", outline), plot.line("curve", shares)]
    for (size, _), (x, y) in zip(points, shares, strict=True):
        parts.append(text(plot.x(x), plot.bottom + 16, f"{size:g}", "middle"))
        place = f'cx="{plot.x(x):.2f}" cy="{plot.y(y):.2f}"'
        parts.append(f'<circle class="point" {place} r="4.5"/>')
    parts.append(text(plot.right, plot.bottom + 34, "apparent size", "end"))
    told = ", ".join(f"{right / n:.1%} at {size:g}" for size, right in points)
    return _svg("sizes", "Accuracy against apparent size", f"Fine top-1: {told}.", parts)


def reliability_panel(name: str, title: str, bins: Sequence[Bin], ece: float) -> str:
    """A small reliability diagram; ``name`` makes its ids unique."""
    plot = Plot(42, 30, PANEL[0] - 12, PANEL[1] - 26)
    parts = [text(plot.left, 18, f"{title}: ECE {100 * ece:.1f} %", "start", "strong")]
    for mark in (0.0, 0.5, 1.0):
        parts.append(plot.line("grid", [(0, mark), (1, mark)]))
        parts.append(text(plot.left - 6, plot.y(mark) + 4, percent(mark), "end"))
        parts.append(text(plot.x(mark), plot.bottom + 17, percent(mark), "middle"))
    for each in bins:
        if each.n:
            across = (each.low, each.high)
            parts.append(plot.bar("bar", across, (0, each.accuracy)))
            parts.append(plot.bar("gap", across, (each.accuracy, each.confidence)))
    parts.append(plot.line("ideal", [(0, 0), (1, 1)]))
    named = [f"{percent(b.low)} to {percent(b.high)}: {percent(b.accuracy)}" for b in bins if b.n]
    words = f"Share of right answers by confidence. {'; '.join(named)}. ECE {ece:.1%}."
    return _svg(name, f"Reliability of {title}", words, parts, PANEL)


def _epochs(plot: Plot, marks: Sequence[tuple[float, str]]) -> str:
    """Lines across at ``marks``, and a label for at most ten of the epochs."""
    parts = []
    for y, words in marks:
        parts.append(plot.line("grid", [(plot.x0, y), (plot.x1, y)]))
        parts.append(text(plot.left - 6, plot.y(y) + 4, words, "end"))
    first, last = round(plot.x0), round(plot.x1)
    shown = range(first, last + 1, max(1, -(-(last - first) // 9)))
    parts += [text(plot.x(each), plot.bottom + 16, str(each), "middle") for each in shown]
    parts.append(text(plot.right, plot.bottom + 34, "epoch", "end"))
    return "".join(parts)


def severity_chart(
    name: str, title: str, shares: Sequence[float], clean: float, n: int | None, judged: int
) -> str:
    """A small chart: accuracy at severities 1, 2, ... under the clean line.

    ``name`` makes its ids unique. ``n`` images give each share its interval; a mean of several
    shares has none. The first ``judged`` severities stand on a darker ground.
    """
    severities = range(1, len(shares) + 1)
    plot = Plot(42, 30, PANEL[0] - 12, PANEL[1] - 26, x0=0.75, x1=len(shares) + 0.25)
    points = list(zip(severities, shares, strict=True))
    parts = [plot.bar("judged", (plot.x0, judged + 0.5), (0, 1))]
    for y in (0.0, 0.5, 1.0):
        parts.append(plot.line("grid", [(plot.x0, y), (plot.x1, y)]))
        parts.append(text(plot.left - 6, plot.y(y) + 4, percent(y), "end"))
    parts += [text(plot.x(x), plot.bottom + 17, str(x), "middle") for x in severities]
    parts += [
        text(plot.left, 18, title, "start", "strong"),
        plot.line("ideal", [(plot.x0, clean), (plot.x1, clean)]),
    ]
    if n is not None:
        band = [(x, wilson(round(share * n), n)) for x, share in points]
        outline = [(x, i.low) for x, i in band] + [(x, i.high) for x, i in reversed(band)]
        parts.append(plot.area("band", outline))
    parts.append(plot.line("curve", points))
    parts += [
        f'<circle class="point" cx="{plot.x(x):.2f}" cy="{plot.y(y):.2f}" r="3.2"/>'
        for x, y in points
    ]
    figures = ", ".join(percent(share) for share in shares)
    words = f"Fine top-1 at severities 1 to {len(shares)}: {figures}; clean {percent(clean)}."
    return _svg(name, title, words, parts, PANEL)


def strip(value: float, interval: Interval | None, low: float, high: float) -> str:
    """A dot on a scale from ``low`` to ``high``, with its interval: decoration beside figures."""
    plot = Plot(4, 0, 156, 20, x0=low, x1=high)

    def inside(end: float) -> float:
        return min(high, max(low, end))

    parts = [plot.line("grid", [(x, 0.5) for x in (low, high)])]
    if interval:
        parts.append(plot.line("whisker", [(inside(end), 0.5) for end in interval]))
    parts.append(f'<circle class="point" cx="{plot.x(inside(value)):.2f}" cy="10" r="4.5"/>')
    return f'<svg class="strip" viewBox="0 0 160 20" aria-hidden="true">{"".join(parts)}</svg>'


def text(x: float, y: float, words: str, anchor: str, kind: str = "label") -> str:
    """Words in a chart, escaped."""
    place = f'x="{x:.2f}" y="{y:.2f}" text-anchor="{anchor}"'
    return f'<text class="{kind}" {place}>{escape(words)}</text>'


def percent(value: float) -> str:
    """A share as whole per cent, or with as many decimals as a small one needs."""
    shown = 100 * value
    return f"{shown:.0f} %" if shown >= 10 or abs(shown - round(shown)) < 0.05 else f"{shown:.1f} %"


def _shares(scores: Floats) -> list[float]:
    counts, _ = np.histogram(scores, SCORE_BINS, (0, 1))
    return [float(count) / len(scores) for count in counts]


def _ceiling(value: float) -> float:
    """The next round figure."""
    return next(top for top in (0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0) if value <= top + 1e-9)


def _svg(
    name: str,
    title: str,
    description: str,
    parts: Sequence[str],
    size: tuple[int, int] = (WIDTH, HEIGHT),
) -> str:
    """An SVG that a screen reader reads as an image with a title and a description."""
    return (
        f'<svg class="chart" viewBox="0 0 {size[0]} {size[1]}" role="img" '
        f'aria-labelledby="{name}-title {name}-desc"><title id="{name}-title">{escape(title)}'
        f'</title><desc id="{name}-desc">{escape(description)}</desc>{"".join(parts)}</svg>'
    )
