"""The plots of the page: rate, p50 and p99 against clients, a file for each size of images."""

from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from benchmarks.peers.contenders import OURS, TUNED
from benchmarks.peers.results import Figures, Results

# Okabe and Ito's colours, which colour-blind readers tell apart; ours is the dark green.
COLOURS = ("#00795c", "#e69f00", "#56b4e9", "#cc79a7", "#0072b2", "#555555")
MARKERS = ("o", "s", "^", "D", "P", "v")
PANELS: tuple[tuple[str, str, Callable[[Figures], float]], ...] = (
    ("images a second", "linear", lambda figures: figures.rate),
    ("p50, milliseconds", "log", lambda figures: figures.percentile(50)),
    ("p99, milliseconds", "log", lambda figures: figures.percentile(99)),
)


def draw(results: Results, size: str, out: Path) -> None:
    """Write the plot for one size of images as SVG."""
    # Text stays text, and the same results give the same file.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "peers", "font.size": 9}):
        figure = Figure(figsize=(9, 3.6), layout="constrained")
        panels = figure.subplots(1, len(PANELS))
        for axes, (title, scale, value) in zip(panels, PANELS, strict=True):
            _panel(axes, results, size, value)
            axes.set_title(title, fontsize=9, loc="left")
            if scale == "log":
                axes.set_yscale("log")
                axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                axes.yaxis.set_major_formatter("{x:g}")
            else:
                axes.set_ylim(bottom=0)
            axes.minorticks_off()
        handles, names = panels[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=4, frameon=False)
        figure.savefig(out, metadata={"Date": None})


def _panel(axes: Axes, results: Results, size: str, value: Callable[[Figures], float]) -> None:
    clients = results.clients()
    families = list(dict.fromkeys(name.removesuffix(TUNED) for name in results.notes))
    for name in results.notes:
        if name in results.measured():
            family = families.index(name.removesuffix(TUNED))
            axes.plot(
                clients,
                [value(results.of(name, size, count)) for count in clients],
                color=COLOURS[family % len(COLOURS)],
                marker=MARKERS[family % len(MARKERS)],
                linestyle="--" if name.endswith(TUNED) else "-",
                markersize=4,
                linewidth=2.4 if name == OURS else 1.3,
                zorder=3 if name == OURS else 2,
                label=name,
            )
    axes.set_xscale("log", base=2)
    axes.set_xticks(clients, [str(count) for count in clients])
    axes.set_xlabel("clients")
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
