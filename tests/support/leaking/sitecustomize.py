"""Read by every Python with this directory on its path: errors keep the frames behind them.

Both that hold against it are taken away: one where an image is decoded, one where errors end.
"""

import sys

if "serve" in sys.orig_argv or "greengrocer.cli.child" in sys.orig_argv:
    import greengrocer.tracebacks

    def _keep(error: BaseException, logged: bool = False) -> None:
        """Release nothing."""

    greengrocer.tracebacks.release_frames = _keep

    from greengrocer.imaging import decode

    leaking = decode.DecodePlan.decode.__wrapped__  # type: ignore[attr-defined]
    decode.DecodePlan.decode = leaking  # type: ignore[method-assign]
