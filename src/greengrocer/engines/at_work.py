"""How many images are worked on: one that is alone may have all processors."""

import threading
from typing import Self


class AtWork:
    """The images that are worked on now, each in a thread of its own."""

    def __init__(self) -> None:
        self.pictures = 0
        self.lock = threading.Lock()

    def picture(self) -> "Work":
        """One more, for the time of its ``with``."""
        return Work(self)


class Work:
    """One image that is worked on."""

    __slots__ = ("_all", "_came_alone")

    def __init__(self, pictures: AtWork) -> None:
        self._all = pictures
        self._came_alone = False

    @property
    def alone(self) -> bool:
        """Whether there is no other, and was none when it came.

        Under load there is for an instant one image, between two of another thread. That it was
        alone both times is then as good as impossible.
        """
        return self._came_alone and self._all.pictures == 1

    def __enter__(self) -> Self:
        with self._all.lock:
            self._all.pictures += 1
            self._came_alone = self._all.pictures == 1
        return self

    def __exit__(self, *_: object) -> None:
        with self._all.lock:
            self._all.pictures -= 1
