"""A bundle's trial: another process runs a new model before the service loads it.

A graph is data, but it may take any memory and any time, and C++ code reads it. If it crashes,
hangs or fills the memory, that ends the trial's process and not the service.
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
MEGABYTES = 1000  # of private memory
MODULE = "greengrocer.cli.trial"
MISTAKE = 2  # its exit code after it has written one line that says why it refuses
MOST_REASON = 500  # characters
# Memory that libraries take for each processor would count towards the limit.
FRUGAL = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}


async def try_bundle(source: str) -> None:
    """Have another process load ``source``, a name or a directory, and replay its goldens.

    Raises BundleRefused, in one line, where that fails. When cancelled, it kills the process.
    """
    environment = {**os.environ, **FRUGAL}
    environment.pop(SHARED_DIRECTORY, None)  # its metrics are not the service's
    command = [sys.executable, "-P", "-m", MODULE, source]
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE, env=environment
        )
    except (OSError, ValueError) as error:  # ValueError: a NUL in its name
        raise _refused(source, f"could not start: {error}") from error
    errors = (await _errors_of(process)).decode(errors="replace")
    line = errors.strip().rpartition("\n")[2][:MOST_REASON]
    code = process.returncode or 0
    if code == MISTAKE:
        raise BundleRefused(line.removeprefix("greengrocer: "))
    if code == -signal.SIGALRM:
        raise _refused(source, f"took over {SECONDS} seconds")
    if code < 0:
        raise _refused(source, f"ended by {signal.Signals(-code).name}")
    if code:
        raise _refused(source, f"failed: {line}")


async def _errors_of(process: Process) -> bytes:
    """Wait for ``process`` to end, and return its standard error."""
    try:
        _, errors = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    return errors


def limit_trial() -> None:
    """Limit time and memory of this process, the trial's, even if the service has ended."""
    signal.alarm(SECONDS)  # it ends the process, whatever runs
    _limit("RLIMIT_CORE", 0)
    _limit("RLIMIT_DATA", MEGABYTES * 1_000_000)


def _limit(name: str, most: int) -> None:
    """Set a resource limit of this process, where the system has it and allows it."""
    kind = getattr(resource, name, None)
    if kind is None:
        return
    _, before = resource.getrlimit(kind)
    bound = most if before == resource.RLIM_INFINITY else min(most, before)
    with suppress(OSError, ValueError):  # macOS refuses some
        resource.setrlimit(kind, (bound, bound))


def _refused(source: str, why: str) -> BundleRefused:
    return BundleRefused(f"bundle {source}: its trial {why}")
