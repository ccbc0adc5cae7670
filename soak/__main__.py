"""``make soak``: requests of all kinds, reloads, kills; exit code 1 for an unexplained outcome.

It runs the real service, one process and then ``--workers 2``, and divides the time between them.
"""

import argparse
import json
import sys
import time

import uvloop
from benchmarks.pictures import read_pictures
from tqdm import tqdm

from soak.kinds import MEGABYTE
from soak.report import as_json, page
from soak.run import Result, soak
from soak.service import started

# HTTP processes (0: there is one process), and their share of the time: to replace takes time.
ARRANGEMENTS = {0: 1 / 3, 2: 2 / 3}
BUNDLES = ("grocery", "fast")
BAR = "{desc}: {n:.0f} of {total:.0f} s |{bar}|"
LOG_LINES = 40  # of the service's last, where something is wrong


def main() -> int:
    """Run, report, and return the exit code."""
    parser = argparse.ArgumentParser(prog="soak", description="Run the service under mixed load.")
    parser.add_argument("--minutes", type=float, default=1, help="in all")
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="only this arrangement; 0: one process (default: one process, then --workers 2)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    shares = ARRANGEMENTS if arguments.workers is None else {arguments.workers: 1}
    seconds = arguments.minutes * 60
    results = [_soaked(workers, seconds * share) for workers, share in shares.items()]
    if arguments.json:
        sys.stdout.write(json.dumps([as_json(result) for result in results]) + "\n")
    else:
        sys.stdout.write("\n".join(map(page, results)))
    return 1 if any(result.complaints for result in results) else 0


def _soaked(workers: int, seconds: float) -> Result:
    images = [image for image in read_pictures(None) if len(image) < MEGABYTE]
    with started(BUNDLES[0], workers) as service:
        with tqdm(total=seconds, desc=f"workers {workers}", bar_format=BAR, disable=None) as bar:
            begun = time.monotonic()

            def ticked() -> None:
                bar.update(min(seconds, time.monotonic() - begun) - bar.n)

            result = uvloop.run(soak(service, seconds, images, BUNDLES[::-1], ticked))
        if code := service.stop():
            result.complaints.append(f"it ended with exit code {code}")
        if result.complaints:
            last = service.log.read_text().splitlines()[-LOG_LINES:]
            sys.stderr.write("\n".join(["the service's log ended:", *last, ""]))
    return result


if __name__ == "__main__":
    sys.exit(main())
