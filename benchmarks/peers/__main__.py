"""``make bench-peers``: measure, keep the results, and draw the page from them."""

import argparse
import signal
import sys
from pathlib import Path

from benchmarks.lacking import told_what_is_missing
from benchmarks.peers.contenders import PEERS
from benchmarks.peers.page import page
from benchmarks.peers.results import Results

PAGES = Path(__file__).parents[1] / "results"
RAW = "peers.json"


def main() -> None:
    """Measure unless only the page is wanted, and write it."""
    parser = argparse.ArgumentParser(description="Measure the product beside its peers.")
    parser.add_argument("--bundle", default="fast")
    parser.add_argument("--data", type=Path, help="images to send (default: the gallery)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3, help="of each run")
    parser.add_argument(
        "--only", nargs="+", choices=PEERS, default=PEERS, help="the peers to measure beside it"
    )
    parser.add_argument("--out", type=Path, default=PAGES, help="folder of the page")
    parser.add_argument(
        "--redraw", action="store_true", help=f"only draw the page again, from {RAW}"
    )
    arguments = parser.parse_args()
    with told_what_is_missing("-m benchmarks.peers"):
        from benchmarks.peers.measure import measure  # noqa: PLC0415
        from benchmarks.peers.plots import draw  # noqa: PLC0415
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the servers are ended
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    if arguments.redraw:
        results = Results.model_validate_json((out / RAW).read_bytes())
    else:
        results = measure(
            arguments.bundle,
            arguments.data,
            arguments.rounds,
            arguments.seconds,
            out / RAW,
            arguments.only,
        )
    plots = {size: f"peers-{size.split()[0]}.svg" for size in results.sizes()}
    for size, name in plots.items():
        draw(results, size, out / name)
    text = page(results, plots)
    (out / "peers.md").write_text(text, encoding="utf-8")
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
