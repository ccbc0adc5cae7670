"""A process with limits, in which a command does its work with a stranger's graph.

Its arguments are seconds, megabytes and the name of a function, as ``module:name``. What the
function is called with comes by standard input, as a JSON list, in which a path is an object.
"""

import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from pkgutil import resolve_name

from greengrocer.cli.output import MISTAKE, complain
from greengrocer.errors import UsageError
from greengrocer.serving.reloading.trial import (
    NO_MEMORY,
    Limits,
    limit_trial,
    limits_of,
    run_trial,
)

MODULE = "greengrocer.cli.limited"
ADVICE = ": export a smaller network, for one image at a time"
PATH = "path"


def run_limited(work: Callable[..., object], given: Sequence[object], graph: Path) -> None:
    """Call ``work``, a function of a module, in a process of its own; its result is lost.

    ``given`` are its arguments: what JSON has, and paths. Raises BundleRefused, in one line about
    ``graph``, where the function refuses, crashes, hangs or takes too much.
    """
    limits = limits_of(graph.stat().st_size if graph.is_file() else 0)
    name = f"{work.__module__}:{work.__qualname__}"
    text = json.dumps(given, default=lambda path: {PATH: str(path)}).encode()
    asyncio.run(run_trial([MODULE, *map(str, limits), name], str(graph), limits, text, ADVICE))


def main(seconds: str, megabytes: str, name: str) -> int:
    """Do the work, and return the exit code."""
    limit_trial(Limits(int(seconds), int(megabytes)))
    try:
        resolve_name(name)(*json.load(sys.stdin, object_hook=_read))
    except UsageError as error:
        complain(str(error))
        return MISTAKE
    except MemoryError:
        return NO_MEMORY
    return 0


def _read(tree: dict[str, object]) -> object:
    return Path(str(tree[PATH])) if list(tree) == [PATH] else tree


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
