"""A hundred photos at once: all are queued, and those decoded together fit the memory."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from support.make_images import encoded, photo
from support.processes import memory, tree
from support.servers import StartServer
from support.wire import exchange, post

PHOTOS, THREADS = 100, 32
UNDER_LOAD = 60.0  # seconds that may be waited, on a machine of few processors
DECODING = 300_000  # kilobytes: room for six of the large images
AROUND = 250_000  # kilobytes: uploads, buffers of the engine and of 32 threads


def of_12_megapixels() -> bytes:
    return encoded(photo(1, (4000, 3000)), "JPEG")


def large_png() -> bytes:
    return encoded(Image.new("RGBA", (2500, 2500), (250, 250, 250, 255)), "PNG", compress_level=1)


@pytest.mark.accept
@pytest.mark.parametrize("workers", [None, 2])
@pytest.mark.parametrize("make", [of_12_megapixels, large_png])
def test_a_hundred_requests_at_once_are_all_answered(
    serve: StartServer, fake_bundle: Path, make: Callable[[], bytes], workers: int | None
) -> None:
    flags = ["--workers", str(workers)] if workers else []
    flags += ["--threads", str(THREADS), "--decode-memory-bytes", f"{DECODING}kB"]
    flags += ["--max-queue-seconds", str(UNDER_LOAD), "--request-timeout-seconds", str(UNDER_LOAD)]
    server = serve("--bundle", str(fake_bundle), "--engine", "fake", *flags)
    server.until_serving(workers or 1)
    pids = tree(server.process.pid)
    before = sum(memory(pid, "Rss") for pid in pids)
    request = post(make())
    with ThreadPoolExecutor(PHOTOS) as pool:
        answers = pool.map(lambda _: exchange(server.url, request).status, range(PHOTOS))
        assert Counter(answers) == {200: PHOTOS}
    peaks = sum(_peak(pid) for pid in pids)
    assert peaks - before < DECODING + AROUND


def _peak(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])
