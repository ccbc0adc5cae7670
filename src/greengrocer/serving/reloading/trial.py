"""A bundle's trial: before a service that runs lets a model in, another process has run it.

A graph is data, but it may want any memory and any time, and what reads it is written in C++: what
it does to a process it does to one that nobody needs.
"""

import asyncio
import os
import resource
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import suppress

from greengrocer.errors import BundleRefused
from greengrocer.telemetry.metrics import SHARED_DIRECTORY

SECONDS = 30  # for the trial; the bundles that ship take one or two
MEGABYTES = 1000  # that it may take of its own
MODULE = "greengrocer.cli.trial"
MISTAKE = 2  # its exit code where it has told in one line why it refuses
MOST_REASON = 500  # characters
# What they take for each processor is not the model's.
FRUGAL = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}


async def try_bundle(source: str) -> None:
    """Have another process load ``source``, a name or a directory, and replay its goldens.

    Raises BundleRefused, in one line, where that does not succeed. Cancelled, it ends the process.
    """
    environment = {**os.environ, **FRUGAL}
    environment.pop(SHARED_DIRECTORY, None)  # what it counts is nobody's
    command = [sys.executable, "-P", "-m", MODULE, source]
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE, env=environment
        )
    except (OSError, ValueError) as error:  # ValueError: a NUL in its name
        raise _refused(source, f"could not begin: {error}") from error
    told = await _told(process)
    line = told.decode(errors="replace").strip().rpartition("\n")[2][:MOST_REASON]
    code = process.returncode or 0
    if code == MISTAKE:
        raise BundleRefused(line.removeprefix("greengrocer: "))
    if code == -signal.SIGALRM:
        raise _refused(source, f"took over {SECONDS} seconds")
    if code < 0:
        raise _refused(source, f"ended by {signal.Signals(-code).name}")
    if code:
        raise _refused(source, f"failed: {line}")


async def _told(process: Process) -> bytes:
    """What it has said on standard error once it has ended."""
    try:
        _, told = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    return told


def limit_trial() -> None:
    """Bound this process, which is the trial's: also where nobody waits for it any more."""
    signal.alarm(SECONDS)  # whatever runs then, it ends the process
    _limit("RLIMIT_CORE", 0)
    _limit("RLIMIT_DATA", MEGABYTES * 1_000_000)


def _limit(name: str, most: int) -> None:
    """Bound what the process may take, where the system knows of it and lets us."""
    kind = getattr(resource, name, None)
    if kind is None:
        return
    _, before = resource.getrlimit(kind)
    bound = most if before == resource.RLIM_INFINITY else min(most, before)
    with suppress(OSError, ValueError):  # macOS refuses some
        resource.setrlimit(kind, (bound, bound))


def _refused(source: str, why: str) -> BundleRefused:
    return BundleRefused(f"bundle {source}: its trial {why}")
