"""``python -m greengrocer``, and the command of that name: quiet where Ctrl-C ends it."""

import os
import signal
import sys

from greengrocer.cli.output import INTERRUPTED


def main() -> int:
    """Run the command line and return the exit code."""
    _open_standard_streams()
    if sys.argv[1:2] == ["serve"]:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the service handles it
    interruptible = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if interruptible:
        # Nothing needs a clean-up yet, and a C library may turn the exception into another one.
        signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    from greengrocer.cli.main import main as run  # noqa: PLC0415

    if interruptible:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return run()


def _open_standard_streams() -> None:
    """Open those of descriptors 0 to 2 that the caller closed: Python has None in their place.

    Errors and logs without a place to go are dropped. Writing to a closed standard output fails, so
    that no command seems to have printed its answer.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            mode = os.O_WRONLY if name == "stderr" else os.O_RDONLY
            opened = os.open(os.devnull, mode)  # the lowest free number, which is this one
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
            setattr(sys, name, os.fdopen(descriptor, "r" if name == "stdin" else "w"))


if __name__ == "__main__":
    sys.exit(main())
