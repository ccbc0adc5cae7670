"""Decode the photos of a folder on several threads, within one bound of memory."""

from collections.abc import Callable
from typing import TypeVar

from PIL import Image

from greengrocer.context import Context
from greengrocer.imaging.budget import DecodeBudget
from greengrocer.imaging.decode import DecodeLimits, Size, plan_decode
from greengrocer.serving.memory import return_free_pages

# Bytes that all images together may take while they are decoded and looked at: a HEIC of 48
# megapixels, as phones take them, has 1,100 MB, a PNG of 60 has 490.
MEMORY = 1_200_000_000
LARGE_IMAGE = 32_000_000  # bytes of an image after which free memory goes back to the system

R = TypeVar("R")


class PhotoDecoder:
    """Shared by the threads that read a folder."""

    def __init__(self, target: Size) -> None:
        """Decode for ``target`` (width, height, pixels), as ``plan_decode`` does."""
        self._target = target
        self._limits = DecodeLimits(bytes=MEMORY)
        self._budget = DecodeBudget(MEMORY)

    def use(self, data: bytes, look: Callable[[Image.Image], R]) -> R:
        """What ``look`` makes of the upright RGB image in the file ``data``.

        ``look`` must not keep the image: its memory is given to others when ``look`` returns.
        Raises an ImageRefused, also for an image that needs more than ``MEMORY``, or MemoryError.
        """
        plan = plan_decode(data, self._target, self._limits)
        with self._budget.reserve(plan.memory_bytes, Context()):
            try:
                return look(plan.decode())
            finally:
                if plan.memory_bytes > LARGE_IMAGE:
                    return_free_pages()  # or the C library would keep one image for each thread
