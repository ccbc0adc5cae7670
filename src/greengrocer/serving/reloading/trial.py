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
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from greengrocer.bundles.bundle import find_bundle
from greengrocer.bundles.manifest import read_manifest
from greengrocer.errors import BundleRefused, TrialTooSlow
from greengrocer.telemetry.metrics import SHARED_DIRECTORY

SECONDS = 30  # for the trial; the bundles that ship take one or two
MEGABYTES = 1000  # of private memory
COPIES = 8  # of a foreign graph that work with it holds: as bytes, parsed, changed, in sessions
MODULE = "greengrocer.cli.trial"
MISTAKE = 2  # its exit code after it has written one line that says why it refuses
NO_MEMORY = 3  # its exit code where the limit left it without memory
PASSING = 4  # the same, where the refusal may pass, as of a file that could not be read
MOST_REASON = 500  # characters
# Memory that libraries take for each processor would count towards the limit.
FRUGAL = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}


class Limits(NamedTuple):
    """Of a trial's process: ``megabytes`` are of private memory."""

    seconds: int = SECONDS
    megabytes: int = MEGABYTES


def limits_of(graph_bytes: int) -> Limits:
    """Those of work with a foreign graph of so many bytes, its weights included.

    One of 200 MB takes up to 2,100 MB, and 40 seconds on a busy processor.
    """
    megabytes = graph_bytes // 1_000_000
    return Limits(2 * SECONDS + megabytes // 2, MEGABYTES + COPIES * megabytes)


async def try_bundle(source: str, engine: str = "onnx") -> None:
    """Have another process load ``source``, a name or a directory, and replay its goldens.

    It runs them on the engine that is called so.

    Raises BundleRefused, in one line, where that fails; for a manifest that is wrong, no process
    is needed. When cancelled, it kills the process.
    """
    await asyncio.to_thread(lambda: read_manifest(find_bundle(source)))
    await run_trial([MODULE, source, engine], f"bundle {source}", Limits())


async def run_trial(
    arguments: Sequence[str],
    what: str,
    limits: Limits,
    work: bytes | None = None,
    advice: str = "",
) -> None:
    """Run a module, the first of ``arguments``, with the others, in a process that limits itself.

    ``work`` goes to its standard input. Raises BundleRefused, in one line about ``what``, where it
    does not end well: ``limits`` are those that it has set, and ``advice`` comes behind a line
    that says it went over one. When cancelled, it kills the process.
    """
    environment = {**os.environ, **FRUGAL}
    environment.pop(SHARED_DIRECTORY, None)  # its metrics are not the service's
    command = [sys.executable, "-P", "-m", *arguments]
    given = DEVNULL if work is None else PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=given, stdout=DEVNULL, stderr=PIPE, env=environment
        )
    except (OSError, ValueError) as error:  # ValueError: a NUL in its name
        raise _refused(what, f"could not start: {error}") from error
    errors = (await _errors_of(process, work)).decode(errors="replace")
    line = errors.strip().rpartition("\n")[2][:MOST_REASON]
    code = process.returncode or 0
    if code in (MISTAKE, PASSING):
        refused = BundleRefused(line.removeprefix("greengrocer: "))
        raise refused from OSError(line) if code == PASSING else None
    if code == NO_MEMORY:
        raise _refused(what, f"took over {limits.megabytes:,} MB of memory{advice}")
    if code == -signal.SIGALRM:
        busy = advice or ": if the machine is busy, try again later"
        raise _refused(what, f"took over {limits.seconds} seconds{busy}", TrialTooSlow)
    if code < 0:
        raise _refused(what, f"ended by {signal.Signals(-code).name}")
    if code:
        raise _refused(what, f"failed: {line}")


async def _errors_of(process: Process, work: bytes | None) -> bytes:
    """Wait for ``process`` to end, and return its standard error."""
    try:
        _, errors = await process.communicate(work)
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    return errors


def limit_trial(limits: Limits) -> None:
    """Limit time and memory of this process, the trial's, even if the service has ended.

    It may be called again, with other limits: the time begins again.
    """
    signal.alarm(limits.seconds)  # it ends the process, whatever runs
    _limit("RLIMIT_CORE", 0)
    _limit("RLIMIT_DATA", limits.megabytes * 1_000_000)


def _limit(name: str, most: int) -> None:
    """Set a resource limit of this process, where the system has it and allows it."""
    kind = getattr(resource, name, None)
    if kind is None:
        return
    _, before = resource.getrlimit(kind)
    bound = most if before == resource.RLIM_INFINITY else min(most, before)
    with suppress(OSError, ValueError):  # macOS refuses some
        resource.setrlimit(kind, (bound, before))


def _refused(what: str, why: str, kind: type[BundleRefused] = BundleRefused) -> BundleRefused:
    return kind(f"{what}: its trial {why}")
