"""How fast ``/livez`` answers, asked every few milliseconds from a process of its own."""

import http.client
import time

from benchmarks.companion import serve

EVERY_SECONDS = 0.02
PATIENCE = 10.0  # seconds


def probe(port: float, after: float, seconds: float) -> dict[str, object]:
    """Latencies in seconds, the number of failures, and the probe's own processor seconds.

    It begins ``after`` so many seconds, and waits for each answer. A connection that breaks is a
    failure and is opened again.
    """
    time.sleep(after)
    latencies: list[float] = []
    failures = 0
    processor, until = time.process_time(), time.perf_counter() + seconds
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=PATIENCE)
    while (sent := time.perf_counter()) < until:
        try:
            connection.request("GET", "/livez")
            answer = connection.getresponse()
            answer.read()
            failures += answer.status != 200
            latencies.append(time.perf_counter() - sent)
        except (OSError, http.client.HTTPException):
            failures += 1
            connection.close()
        time.sleep(EVERY_SECONDS)
    connection.close()
    return {
        "latencies": latencies,
        "failures": failures,
        "processor_seconds": time.process_time() - processor,
    }


if __name__ == "__main__":
    serve(probe)
