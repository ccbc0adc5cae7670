"""Notices that threads of a pool hang: each at one job for far longer than any job may take."""

import asyncio
from collections.abc import Callable, Sequence

HUNG_GRACE = 30.0  # seconds beyond the time-out: a machine with too much to do is not a hang
LOOKS = 4  # so often in a row a thread that hangs was at the same job


class HangWatch:
    """Looks at the threads of a pool, every ``patience / LOOKS`` seconds, while they work.

    A thread hangs that is at the same job as ``LOOKS`` looks before. So a hang is told ``patience``
    seconds after its job began, or up to one look later.

    ``turns`` has a number for each thread, which grows by one when a job begins and when it ends:
    odd while the thread works. ``tell`` is called with the number of threads that hang when that
    changes. It counts looks, not time: a process that was stopped for a while, as together with its
    machine, does not hang. All of it runs on the event loop.
    """

    def __init__(
        self, turns: Sequence[int], patience: float, tell: Callable[[int], object]
    ) -> None:
        self.patience = patience
        self.tell = tell
        self._turns = turns
        self._seen = [0] * len(turns)
        self._looks = [0] * len(turns)  # at the job that was seen, after the first
        self._told = 0
        self._submitted = False  # since the last look
        self._looking = False

    def submitted(self) -> None:
        """Note that a job was submitted: look after the threads until none works."""
        self._submitted = True
        if not self._looking:
            self._look_later()

    def hung(self) -> int:
        """How many threads hang now."""
        threads = zip(self._turns, self._seen, self._looks, strict=True)
        return sum(turn == seen and looks >= LOOKS for turn, seen, looks in threads)

    def _look_later(self) -> None:
        self._looking = True
        asyncio.get_running_loop().call_later(self.patience / LOOKS, self._look)

    def _look(self) -> None:
        turns = tuple(self._turns)
        for number, turn in enumerate(turns):
            same = turn % 2 and turn == self._seen[number]
            self._looks[number] = self._looks[number] + 1 if same else 0
            self._seen[number] = turn
        if (hung := self.hung()) != self._told:
            self._told = hung
            self.tell(hung)
        working = any(turn % 2 for turn in turns)
        self._looking = False
        if working or self._submitted:
            self._submitted = False
            self._look_later()
