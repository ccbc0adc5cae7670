"""A bundle's trial: before a service that runs lets a model in, another process has run it.

A graph is data, but it may want any memory and any time, and what reads it is written in C++: what
it does to a process it does to one that nobody needs.
"""

import os
import resource
import signal
import subprocess
import sys

from greengrocer.errors import BundleRefused
from greengrocer.telemetry.metrics import SHARED_DIRECTORY

SECONDS = 30  # for the trial; the bundles that ship take one or two
MEGABYTES = 1000  # that it may take of its own
MODULE = "greengrocer.cli.trial"
MISTAKE = 2  # its exit code where it has told in one line why it refuses
MOST_REASON = 500  # characters
# What they take for each processor is not the model's.
FRUGAL = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}


def try_bundle(source: str) -> None:
    """Have another process load ``source``, a name or a directory, and replay its goldens.

    Raises BundleRefused, in one line, where that does not succeed.
    """
    command = [sys.executable, "-P", "-m", MODULE, source]
    environment = {**os.environ, **FRUGAL}
    environment.pop(SHARED_DIRECTORY, None)  # what it counts is nobody's
    try:
        done = subprocess.run(  # noqa: S603
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=environment,
            check=False,
        )
    except OSError as error:
        raise _refused(source, f"could not begin: {error.strerror}") from error
    line = done.stderr.decode(errors="replace").strip().rpartition("\n")[2][:MOST_REASON]
    if done.returncode == MISTAKE:
        raise BundleRefused(line.removeprefix("greengrocer: "))
    if done.returncode == -signal.SIGALRM:
        raise _refused(source, f"took over {SECONDS} seconds")
    if done.returncode < 0:
        raise _refused(source, f"ended by {signal.Signals(-done.returncode).name}")
    if done.returncode:
        raise _refused(source, f"failed: {line}")


def limit_trial() -> None:
    """Bound this process, which is the trial's: also where nobody waits for it any more."""
    signal.alarm(SECONDS)  # whatever runs then, it ends the process
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (MEGABYTES * 1_000_000,) * 2)


def _refused(source: str, why: str) -> BundleRefused:
    return BundleRefused(f"bundle {source}: its trial {why}")
