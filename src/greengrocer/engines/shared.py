"""Engines that several pipelines share: the weights of a version are in memory once."""

from collections.abc import Callable
from functools import partial
from threading import Lock

from greengrocer.bundles.manifest import Manifest
from greengrocer.engines.engine import Engine, Inference, Threads
from greengrocer.imaging.geometry import Pixels

Make = Callable[[], Engine]


class SharedEngines:
    """Starts an engine for each content of a bundle, and closes it after its last user.

    A bundle's content is what its manifest says, which has the digest of every file. An engine
    with more threads for an image that is alone also serves those who want fewer.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._shared: list[_Shared] = []

    def start(self, manifest: Manifest, threads: Threads, make: Make) -> Engine:
        """A started engine of this content: one that runs already, or what ``make`` makes.

        Raises what the engine's start raises.
        """
        content = manifest.model_dump_json()
        with self._lock:
            for shared in self._shared:
                same = (shared.content, shared.threads.each) == (content, threads.each)
                if same and shared.threads.alone >= threads.alone:
                    shared.users += 1
                    return _Use(shared.engine, partial(self._leave, shared))
        engine = make()
        engine.start()
        new = _Shared(engine, content, threads)
        with self._lock:
            self._shared.append(new)
        return _Use(engine, partial(self._leave, new))

    def _leave(self, shared: "_Shared") -> None:
        with self._lock:
            shared.users -= 1
            last = not shared.users
            if last:
                self._shared.remove(shared)
        if last:
            shared.engine.close()


class _Shared:
    """An engine, what it runs, and how many pipelines use it."""

    def __init__(self, engine: Engine, content: str, threads: Threads) -> None:
        self.engine = engine
        self.content = content
        self.threads = threads
        self.users = 1


class _Use:
    """One pipeline's use of a shared engine; closing it ends the use."""

    def __init__(self, engine: Engine, leave: Callable[[], None]) -> None:
        self.engine = engine
        self.largest_batch = engine.largest_batch
        self._leave: Callable[[], None] | None = leave

    def start(self) -> None:
        """Nothing is to be done: it has started."""

    def infer(self, pixels: Pixels, alone: bool = False) -> Inference:
        """What the engine answers."""
        return self.engine.infer(pixels, alone)

    def close(self) -> None:
        """End the use, once."""
        leave, self._leave = self._leave, None
        if leave is not None:
            leave()
