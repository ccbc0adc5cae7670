"""One run of a foreign graph, with a limit of time: its cost may depend on the image."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from greengrocer.engines.onnx_runtime import ort
from greengrocer.errors import UsageError
from greengrocer.serving.reloading.trial import MISTAKE

SECONDS = 60.0  # of a run, however busy the machine is
GRACE = 10.0  # seconds for the node that computes: ONNX Runtime stops only between two


@contextmanager
def limited_run(what: str) -> Iterator[ort.RunOptions]:
    """Options for one run, which stop it after SECONDS; raises UsageError then, about ``what``.

    Where one node computes on for GRACE, the process ends with that line: nothing else ends it.
    """
    line = f"{what} took over {SECONDS:g} seconds for an image: import a smaller network"
    options, done, late = ort.RunOptions(), Event(), Event()
    options.log_severity_level = 4
    Thread(target=_watch, args=(options, done, late, line), daemon=True).start()
    try:
        yield options
    except Exception as error:
        if late.is_set():
            raise UsageError(line) from error
        raise
    finally:
        done.set()


def _watch(options: ort.RunOptions, done: Event, late: Event, line: str) -> None:
    if done.wait(SECONDS):
        return
    late.set()
    options.terminate = True
    if not done.wait(GRACE):
        sys.stderr.write(f"greengrocer: {line}\n")
        sys.stderr.flush()
        os._exit(MISTAKE)
