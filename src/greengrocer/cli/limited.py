"""A process with limits, in which a command does its work with a stranger's graph.

Its arguments are seconds, megabytes and the name of a function, as ``module:name``. What the
function is called with comes by standard input, as a JSON list, in which a path is an object.
"""

import asyncio
import json
import resource
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from pkgutil import resolve_name

from greengrocer.cli.output import MISTAKE, complain
from greengrocer.errors import UsageError, may_pass
from greengrocer.serving.reloading.trial import (
    NO_MEMORY,
    PASSING,
    Limits,
    limit_trial,
    limits_of,
    run_trial,
)

MODULE = "greengrocer.cli.limited"
ADVICE = ": export a smaller network, for one image at a time"
PATH = "path"
MEGABYTES = 2000  # for photos: their pixels, and what 50,000 of them are answered


def run_limited(work: Callable[..., object], given: Sequence[object], graph: Path) -> None:
    """Call ``work``, a function of a module, in a process of its own; its result is lost.

    ``given`` are its arguments: what JSON has, and paths. Raises BundleRefused, in one line about
    ``graph``, where the function refuses, crashes, hangs or takes too much.
    """
    limits = limits_of(graph.stat().st_size if graph.is_file() else 0)
    name = f"{work.__module__}:{work.__qualname__}"
    text = json.dumps(given, default=lambda path: {PATH: str(path)}).encode()
    asyncio.run(run_trial([MODULE, *map(str, limits), name], str(graph), limits, text, ADVICE))


@contextmanager
def bounded_memory(graph_bytes: int, what: str) -> Iterator[None]:
    """Bound what this process takes, beyond what it has, while it works with a foreign graph.

    It is what a trial may take, and MEGABYTES for the photos. Raises UsageError, in one line about
    ``what``, where memory runs out.
    """
    megabytes = limits_of(graph_bytes).megabytes + MEGABYTES
    before, most = resource.getrlimit(resource.RLIMIT_DATA)
    bound = _private_bytes() + megabytes * 1_000_000
    bounds = [each for each in (bound, before, most) if each != resource.RLIM_INFINITY]
    with suppress(OSError, ValueError):  # macOS refuses it
        resource.setrlimit(resource.RLIMIT_DATA, (min(bounds), most))
    try:
        yield
    except MemoryError as error:
        raise UsageError(f"{what} took over {megabytes:,} MB of memory{ADVICE}") from error
    finally:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_DATA, (before, most))


def _private_bytes() -> int:
    """What this process has of that which RLIMIT_DATA counts; 0 where the system does not tell."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmData:")))


def main(seconds: str, megabytes: str, name: str) -> int:
    """Do the work, and return the exit code."""
    limit_trial(Limits(int(seconds), int(megabytes)))
    return exit_code(lambda: resolve_name(name)(*json.load(sys.stdin, object_hook=_read)))


def exit_code(work: Callable[[], object]) -> int:
    """Do ``work``; returns what ``run_trial`` reads from the exit code of its process."""
    try:
        work()
    except UsageError as error:
        complain(str(error))
        return PASSING if may_pass(error) else MISTAKE
    except MemoryError:
        return NO_MEMORY
    return 0


def _read(tree: dict[str, object]) -> object:
    return Path(str(tree[PATH])) if list(tree) == [PATH] else tree


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
