"""The page of results: caveats first, then the comparison, then every figure."""

from collections.abc import Sequence

from benchmarks.peers.agreement import REQUIRED
from benchmarks.peers.contenders import FOUNDING, OURS, TUNED
from benchmarks.peers.results import Results

DECISIVE = """\
For small images the network decides, which is the same for everyone, and for photos the decoder.
HTTP costs little: how much, the bare pipeline shows."""
CAVEATS = """\
- The load generator runs on the same machine as the servers and takes its share of the same
  processors, the same for everyone: a closed loop of raw sockets, each client sending its next
  image when the last is answered.
- Every server gets the same JPEG, in a multipart form if it is not said below, and serves the
  bundle's own network at its own input size: the same int8 graph in ONNX Runtime, which for the
  peers takes float32 as they prepare it; the founding backend has the same trained weights in
  float32.
- The peers decode and resize (bilinear) with plain Pillow, as their documentation shows.
- The peers' ONNX Runtime has its default options, as documented: all processors for each image.
  Measurements show that one thread for each image is better here: the same servers with
  that one setting are measured too, as `tuned`. Batches helped LitServe little, so it goes
  without. Telemetry and access logs are off. Another machine may want other settings.
- One server works at a time. The others are started but held still (SIGSTOP), because some of them
  poll while idle. A server's turn lasts a few seconds, so a slow one's first answers, which find
  no queue, flatter its latencies.
- `the bare pipeline` is ours without HTTP, an image on each processor: what we would come to if
  requests cost nothing. The network is the same for everyone and takes most of that time.
- The 12-megapixel photos are images enlarged, with a sensor's noise.
- The machine is shared and noisy: trust the ratios, which compare runs of the same round, and not
  the absolute figures.\
"""
METHOD = """\
{results.rounds} rounds of {results.seconds:g} s a run, interleaved. Rates are medians over the
rounds; latencies, processor time and errors are of all rounds together. {results.machine}.\
"""
LABELS = f"""\
Images of both sizes, and for each the label that most servers give. Who gives fewer than
{REQUIRED:.0%} of these labels does not count and is not measured.\
"""
HEADINGS = ("", "clients", "images/s", "p50 ms", "p99 ms", "CPU ms an image", "errors")


def page(results: Results, plots: dict[str, str]) -> str:
    """All as Markdown; ``plots`` are the files of the plots, by the size of the images."""
    parts = [
        f"# Greengrocer beside its peers, bundle `{results.bundle}`",
        DECISIVE,
        CAVEATS,
        "How each runs:",
        "\n".join(f"- {name}: {note}." for name, note in results.notes.items()),
        METHOD.format(results=results),
        "## How many times as fast",
        _table(_ratios(results)),
        "## Do they agree?",
        LABELS,
        _table(_labels(results)),
    ]
    for size, described in results.pictures.items():
        parts += [
            f"## {size[0].upper()}{size[1:]} ({described})",
            f"![Rate, p50 and p99 against clients, {size}]({plots[size]})",
            _table(_figures(results, size)),
        ]
    return "\n\n".join(parts) + "\n"


def _ratios(results: Results) -> list[list[str]]:
    """Our rate as a multiple of the best peer's and of the founding backend's; and the p99."""
    peers = [name for name in results.measured() if name not in {OURS, FOUNDING}]
    documented = [name for name in peers if not name.endswith(TUNED)]
    tuned = [name for name in peers if name.endswith(TUNED)]
    founding = [name for name in results.measured() if name == FOUNDING]
    rows = [["", *(f"{count} client" + "s" * (count > 1) for count in results.clients())]]
    for size in results.sizes():
        for words, names in (
            ("the best peer, as documented", documented),
            ("the best peer, tuned", tuned),
            (f"the {FOUNDING}", founding),
        ):
            if names:
                rows.append([f"{size}: times the rate of {words}", *_times(results, size, names)])
        if documented:
            words = "the bare pipeline, times the rate of the best peer, as documented"
            rows.append([f"{size}: {words}", *_bare_times(results, size, documented)])
        if peers:
            rows.append(
                [f"{size}: p99, ours / the lowest of the peers", *_p99(results, size, peers)]
            )
    return rows


def _times(results: Results, size: str, names: Sequence[str]) -> list[str]:
    cells = []
    for count in results.clients():
        best = _best(results, size, count, names)
        ratio = results.of(OURS, size, count).times(results.of(best, size, count))
        cells.append(f"{ratio:.2f} ({best})" if len(names) > 1 else f"{ratio:.1f}")
    return cells


def _bare_times(results: Results, size: str, names: Sequence[str]) -> list[str]:
    cells = []
    for count in results.clients():
        best = results.of(_best(results, size, count, names), size, count)
        cells.append(f"{best.surpassed(results.bare[size]):.2f}")
    return cells


def _best(results: Results, size: str, count: int, names: Sequence[str]) -> str:
    return max(names, key=lambda name: results.of(name, size, count).rate)


def _p99(results: Results, size: str, names: Sequence[str]) -> list[str]:
    cells = []
    for count in results.clients():
        lowest = min(results.of(name, size, count).percentile(99) for name in names)
        cells.append(f"{results.of(OURS, size, count).percentile(99):.0f} / {lowest:.0f} ms")
    return cells


def _labels(results: Results) -> list[list[str]]:
    rows = [["", "same label", ""]]
    for name, share in results.agreement.items():
        rows.append([name, f"{share:.1%}", "" if share >= REQUIRED else "does not count"])
    return rows


def _figures(results: Results, size: str) -> list[list[str]]:
    rows = [[*HEADINGS]]
    for name in results.measured():
        for count in results.clients():
            figures = results.of(name, size, count)
            rows.append(
                [
                    name,
                    str(count),
                    f"{figures.rate:.1f}",
                    f"{figures.percentile(50):.1f}",
                    f"{figures.percentile(99):.1f}",
                    f"{figures.processor_ms:.1f}",
                    str(figures.errors),
                ]
            )
    return rows


def _table(rows: Sequence[Sequence[str]]) -> str:
    ruled = [rows[0], ["---", *["---:"] * (len(rows[0]) - 1)], *rows[1:]]
    return "\n".join("| " + " | ".join(row) + " |" for row in ruled)
