"""Images wait for the memory to decode them without a thread, so that others are served."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from greengrocer.context import Context
from greengrocer.errors import DeadlineExceeded
from greengrocer.imaging.budget import MustWait

T = TypeVar("T")


async def in_turn(work: Callable[[], Awaitable[T]], context: Context) -> T:
    """What ``work`` returns, which decodes an image in a thread; it is called again after a wait.

    Raises what it raises, and DeadlineExceeded.
    """
    context.waits_in_thread = False
    try:
        return await work()
    except MustWait as refusal:
        memory = refusal.reservation
    try:
        with context.aside():
            async with asyncio.timeout(max(0.0, context.remaining())):
                await memory.wait()
        context.reservation = memory
        return await work()
    except TimeoutError:
        context.cancel()
        raise DeadlineExceeded(
            "the deadline passed before there was memory for the image: retry, or allow more time"
        ) from None
    finally:
        memory.abandon()
