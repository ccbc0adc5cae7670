"""How the processors are shared out: among pictures side by side, and within one of them."""

import os

from greengrocer.errors import UsageError
from greengrocer.serving.processors import usable_processors

ENGINE_THREADS = "ORT_INTRA_OP_NUM_THREADS"


def engine_threads() -> int:
    """Threads of the engine's own for one run: 1, unless the environment says otherwise.

    Pictures run side by side, each on a thread: that does more of them than all threads on one
    picture, which may be had where one picture at a time must be fast. Raises UsageError.
    """
    text = os.environ.get(ENGINE_THREADS, "1")
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= 1024):
        raise UsageError(
            f"{ENGINE_THREADS} is {text!r}: set it to a number of threads from 1 to 1024, or not"
        )
    return int(text)


def picture_threads(largest_batch: int = 1) -> int:
    """Pictures worked on at once, so that all processors are busy; raises UsageError.

    A picture keeps its thread while it waits for a batch. So that the processors have work while
    one batch runs and the next gathers, there are threads for both batches besides.
    """
    side_by_side = max(1, usable_processors() // engine_threads())
    return side_by_side if largest_batch == 1 else side_by_side + 2 * largest_batch
