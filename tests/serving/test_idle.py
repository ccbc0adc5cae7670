"""An idle service does nothing: nothing polls, and no thread spins."""

import re
import time
from pathlib import Path

import pytest

from support.make_images import encoded, photo
from support.processes import tree
from support.servers import StartServer
from support.waiting import until
from support.wire import exchange, post

pytestmark = pytest.mark.accept
SECONDS = 3.0  # at rest; what does nothing has no event to wait for
MOST = 10  # switches of all threads; a thread that looks ten times a second has 30
SWITCHES = re.compile(r"ctxt_switches:\s*(\d+)")


def switches(process: int) -> int:
    """How often the threads of a process and its children have been given a processor."""
    statuses = [
        (task / "status").read_text()
        for pid in tree(process)
        for task in Path(f"/proc/{pid}/task").iterdir()
    ]
    return sum(int(number) for each in statuses for number in SWITCHES.findall(each))


def rests(process: int) -> bool:
    """Whether it does next to nothing for a while."""
    before = switches(process)
    time.sleep(SECONDS)
    return switches(process) - before <= MOST


@pytest.mark.parametrize("flags", [(), ("--workers", "2")])
def test_an_idle_service_uses_no_cpu(
    serve: StartServer, grocery_bundle: Path, flags: tuple[str, ...]
) -> None:
    server = serve("--bundle", str(grocery_bundle), *flags)
    server.until_serving(2 if flags else 1)
    for seed in range(4):  # alone, so that the threads within an image have worked, too
        assert exchange(server.url, post(encoded(photo(seed), "JPEG"))).status == 200
    until(lambda: rests(server.process.pid))  # once what is left of the start has been done
