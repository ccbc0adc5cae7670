"""Images wait for the memory to decode them without a thread, so that others are served."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from typing import TypeVar

from greengrocer.context import Context
from greengrocer.errors import DeadlineExceeded
from greengrocer.imaging.budget import MustWait, Reservation

T = TypeVar("T")


async def in_turn(work: Callable[[], Awaitable[T]], context: Context) -> T:
    """What ``work`` returns, which decodes an image in a thread; it is called again after a wait.

    Raises what it raises, and DeadlineExceeded or ClientDisconnected.
    """
    context.waits_in_thread = False
    memory = None
    try:
        while True:
            try:
                return await work()
            except MustWait as refusal:
                memory = refusal.reservation
            await _wait(memory, context)
            context.reservation = memory
    finally:
        if memory is not None:
            memory.abandon()


async def _wait(memory: Reservation, context: Context) -> None:
    # A large image takes no thread until it is its turn; a small one stays in the queue, so that it
    # fills up and images are refused.
    try:
        with context.aside() if memory.is_large else nullcontext():
            async with asyncio.timeout(max(0.0, context.remaining())):
                await memory.wait()
    except TimeoutError:
        raise DeadlineExceeded(
            "the deadline passed before there was memory for the image: retry, or allow more time"
        ) from None
