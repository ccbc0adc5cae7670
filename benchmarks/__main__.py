"""``make bench``: measure, print the table and keep it in benchmarks/results."""

import argparse
import sys
from pathlib import Path

from benchmarks import plain_loop, spine
from benchmarks.machine import machine

RESULTS = Path(__file__).parent / "results"

SCENARIOS = {
    "spine": (
        "The service against the bare pipeline",
        """\
- The load generator runs on the same machine and takes its share of the same processors, so
  `of bare` at many clients is a lower bound.
- `net of bare` is the processor time a request of the service's whole process tree, less that of
  the bare pipeline on two threads in the same round: HTTP, scheduling, metrics and JSON.
""",
        spine.run,
    ),
    "plain": (
        "The bare pipeline against the plain loop",
        """\
- The plain loop is what tutorials show: Pillow, float32, one ONNX Runtime session with its default
  options, one picture at a time on all processors. The bare pipeline works on two at a time.
- The photos are data-set pictures enlarged to 12 megapixels, with a sensor's noise (3.3 MB each).
""",
        plain_loop.run,
    ),
}
NOISY = """\
- The machine is shared and noisy: trust the ratios, which compare runs of the same round, and not
  the absolute figures.
"""


def main() -> None:
    """Run the scenario and write its page."""
    parser = argparse.ArgumentParser(description="Measure the product as it ships.")
    parser.add_argument("scenario", choices=SCENARIOS, nargs="?", default="spine")
    parser.add_argument("--bundle", default="grocery")
    parser.add_argument("--data", type=Path, help="pictures to send (default: the gallery)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4, help="of each run")
    arguments = parser.parse_args()
    title, caveats, run = SCENARIOS[arguments.scenario]
    table = run(arguments.bundle, arguments.data, arguments.rounds, arguments.seconds)
    page = (
        f"# {title}, bundle `{arguments.bundle}`\n\n{caveats}{NOISY}\n"
        f"{arguments.rounds} rounds of {arguments.seconds:g} s a run, interleaved, medians. "
        f"{machine()}.\n\n{table}\n"
    )
    RESULTS.mkdir(exist_ok=True)
    name = f"{arguments.scenario}-{Path(arguments.bundle).name}.md"
    (RESULTS / name).write_text(page, encoding="utf-8")
    sys.stdout.write(page)


if __name__ == "__main__":
    main()
