"""``make bench``: measure, print the table and keep it in benchmarks/results."""

import argparse
import sys
from pathlib import Path

from benchmarks.machine import machine
from benchmarks.spine import measure, table

RESULTS = Path(__file__).parent / "results"

CAVEATS = """\
- The load generator runs on the same machine and takes its share of the same processors, so
  `of bare` at many clients is a lower bound.
- The machine is shared and noisy: trust the ratios, which compare runs of the same round, and not
  the absolute figures.
- `net of bare` is the processor time a request of the service's whole process tree, less that of
  the bare pipeline on two threads in the same round: HTTP, scheduling, metrics and JSON.
"""


def main() -> None:
    """Run the scenario and write its page."""
    parser = argparse.ArgumentParser(description="The service against the bare pipeline.")
    parser.add_argument("--bundle", default="grocery")
    parser.add_argument("--data", type=Path, help="pictures to send (default: the gallery)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4, help="of each run")
    arguments = parser.parse_args()
    results = measure(arguments.bundle, arguments.data, arguments.rounds, arguments.seconds)
    page = (
        f"# The service against the bare pipeline, bundle `{arguments.bundle}`\n\n{CAVEATS}\n"
        f"{arguments.rounds} rounds of {arguments.seconds:g} s a run, interleaved, medians. "
        f"{machine()}.\n\n{table(results)}\n"
    )
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"spine-{Path(arguments.bundle).name}.md").write_text(page, encoding="utf-8")
    sys.stdout.write(page)


if __name__ == "__main__":
    main()
