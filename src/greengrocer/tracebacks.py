"""Free the memory that the traceback of an error keeps alive."""

from traceback import clear_frames
from types import TracebackType

from greengrocer.errors import Refusal


def release_frames(error: BaseException, logged: bool = False) -> None:
    """Release the frames behind ``error``, its causes and its contexts.

    A traceback refers to its frames and their callers. Those refer to pixels, uploads, and often
    to the future, task or job that holds the error: a cycle, which stays in memory until the
    garbage collector runs. Call this wherever an error leaves the work that raised it, before
    anything else is awaited.

    An unexpected error keeps the lines of its traceback until it is ``logged``: its frames are
    emptied, and frames that still run are removed from it.
    """
    keep = not (logged or isinstance(error, Refusal))
    found: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or any(one is other for other in found):
            continue
        found.append(one)
        emptied = _emptied(one.__traceback__)
        one.__traceback__ = emptied if keep else None
        waiting += [one.__cause__, one.__context__]
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions


def _emptied(traceback: TracebackType | None) -> TracebackType | None:
    """``traceback`` with emptied frames, and without the frames that still run."""
    while traceback is not None:
        try:
            traceback.tb_frame.clear()
        except RuntimeError:  # the frame still runs
            traceback = traceback.tb_next
        else:
            clear_frames(traceback)
            break
    return traceback
