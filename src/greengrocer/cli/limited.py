"""A process with limits, in which a command does its work with a stranger's graph.

Its arguments are seconds and megabytes. The work, pickled, comes by standard input.
"""

import asyncio
import pickle
import sys
from collections.abc import Callable
from pathlib import Path

from greengrocer.cli.output import MISTAKE, complain
from greengrocer.errors import UsageError
from greengrocer.serving.reloading.trial import NO_MEMORY, Limits, limit_trial, limits_of, run_trial

MODULE = "greengrocer.cli.limited"
ADVICE = ": export a smaller network, for one image at a time"


def run_limited(work: Callable[[], object], graph: Path) -> None:
    """Do ``work``, of functions with a name, in a process of its own; its result is lost.

    Raises BundleRefused, in one line about ``graph``, where it refuses, crashes, hangs or takes too
    much.
    """
    limits = limits_of(graph.stat().st_size if graph.is_file() else 0)
    arguments = [MODULE, *map(str, limits)]
    asyncio.run(run_trial(arguments, str(graph), limits, pickle.dumps(work), ADVICE))


def main(seconds: str, megabytes: str) -> int:
    """Do the work, and return the exit code."""
    limit_trial(Limits(int(seconds), int(megabytes)))
    try:
        pickle.load(sys.stdin.buffer)()  # noqa: S301 - the command's own
    except UsageError as error:
        complain(str(error))
        return MISTAKE
    except MemoryError:
        return NO_MEMORY
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
