"""The file of keys of a running service, which may change at any time."""

import time
from collections.abc import Iterable
from pathlib import Path

import structlog

from greengrocer.errors import KeysRefused
from greengrocer.web.access.keys import Keys, find_name, read_keys

LOOK_SECONDS = 1.0  # no more often than this, and only when somebody asks, is the file looked at
SCHEME = b"bearer "

log = structlog.get_logger("greengrocer.access")

Signature = tuple[int, ...] | None


class KeyFile:
    """The keys of ``file``, read anew when it has changed.

    A change that is refused leaves the keys as they were, and a line in the log. As it is made it
    raises KeysRefused, unless ``patient``: then nobody has a key until the file is good.
    """

    def __init__(self, file: Path, patient: bool = False) -> None:
        self.file = file
        self._seen = self._signature()
        self._keys: Keys = {}
        self._looked = time.monotonic()
        if patient:
            self._read()
        else:
            self._keys = read_keys(file)

    def name_of(self, headers: Iterable[tuple[bytes, bytes]]) -> str | None:
        """The name of the key in a request's ``headers``; None without one that is known."""
        self._look()
        sent = [value for name, value in headers if name == b"authorization"]
        if len(sent) != 1 or sent[0][: len(SCHEME)].lower() != SCHEME:
            return None
        return find_name(self._keys, sent[0][len(SCHEME) :].strip())

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        seen = self._signature()
        if seen == self._seen:
            return
        self._seen = seen
        self._read()

    def _read(self) -> None:
        try:
            self._keys = read_keys(self.file)
        except KeysRefused as refused:
            kept = len(self._keys)
            log.error("keys refused, those before stay", kept=kept, reason=str(refused))  # noqa: TRY400
        else:
            log.info("keys read", file=str(self.file), keys=len(self._keys))

    def _signature(self) -> Signature:
        """What changes whenever the file does; None where there is none."""
        try:
            found = self.file.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_size
