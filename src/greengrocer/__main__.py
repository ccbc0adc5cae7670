"""``python -m greengrocer``, and the command of that name: quiet where Ctrl-C ends it."""

import os
import signal
import sys

from greengrocer.cli.output import INTERRUPTED


def main() -> int:
    """Run the command line and return the exit code."""
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


if __name__ == "__main__":
    sys.exit(main())
