"""Clients in a process of their own, for measurements inside the service's process.

Arguments: the service's port, then the files of the images. Each line of standard input names a
number of clients and of seconds; the answer is the mean latency in seconds.
"""

import sys
from pathlib import Path

from benchmarks.companion import serve
from benchmarks.load import picture_request, run_load


def main() -> None:
    """Answer until standard input ends."""
    port, *files = sys.argv[1:]
    requests = [picture_request(Path(file).read_bytes()) for file in files]

    def mean_latency(clients: float, seconds: float) -> float:
        latencies = run_load(int(port), requests, int(clients), seconds).latencies
        return sum(latencies) / len(latencies)

    serve(mean_latency)


if __name__ == "__main__":
    main()
