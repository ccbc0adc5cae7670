"""Free the memory that the traceback of an error keeps alive."""

from traceback import clear_frames
from types import TracebackType

from greengrocer.errors import Refusal


def release_frames(error: BaseException, logged: bool = False) -> None:
    """Let go of the frames behind ``error``, its causes and its contexts.

    A traceback refers to the frames it passed and to their callers, and those to pixels, uploads,
    and often to the future, task or job that holds the error: a cycle, which stays until the
    collector happens to run. To be called wherever an error leaves the work that it came from,
    before anything else is awaited.

    Of an unforeseen error the lines of the traceback stay until it is ``logged``: its frames are
    emptied, and those that still run are cut off.
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
    """What is left of ``traceback`` without the frames that still run, the rest of them empty."""
    while traceback is not None:
        try:
            traceback.tb_frame.clear()
        except RuntimeError:  # it runs
            traceback = traceback.tb_next
        else:
            clear_frames(traceback)
            break
    return traceback
