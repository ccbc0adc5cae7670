"""API keys: making them, and the file of their names and SHA-256 that a service reads.

A key is 256 random bits. It cannot be guessed, so a fast hash is enough, and can be computed for
every request.
"""

import hmac
import os
import re
import secrets
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType

import structlog

from greengrocer.errors import KeysRefused
from greengrocer.locks import locked
from greengrocer.regular_files import MAX_SETTINGS_BYTES, open_regular, read_regular

PREFIX = "gg_"  # people, and scanners for leaked secrets, recognise a key by it
RANDOM_BYTES = 32
MOST_KEYS = 1000  # each is compared with the key of a request
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
LINE = re.compile(rf"({NAME.pattern})\s+([0-9a-f]{{64}})")

CHECK_SECONDS = 1.0  # at most this often, and only for a request, the file is checked for a change
SCHEME = b"bearer "

log = structlog.get_logger("greengrocer.access")

Keys = Mapping[str, bytes]  # SHA-256 by name
Signature = tuple[int, ...] | None


def make_key() -> str:
    """A new key."""
    return PREFIX + secrets.token_urlsafe(RANDOM_BYTES)


def digest(key: bytes) -> bytes:
    """The SHA-256 of a key, which is what the file has."""
    return sha256(key).digest()


def find_name(keys: Keys, key: bytes) -> str | None:
    """The name of ``key``, or None; takes the same time for every key."""
    sent, found = digest(key), None
    for name, known in keys.items():
        if hmac.compare_digest(sent, known):
            found = name
    return found


def read_keys(file: Path) -> Keys:
    """The keys of ``file``: a line for each, its name and its SHA-256 in hexadecimal.

    Raises KeysRefused, in one line, for a file that is malformed or that others may write.
    """
    try:
        with open_regular(file) as opened:
            mode = os.fstat(opened.fileno()).st_mode
            text = opened.read(MAX_SETTINGS_BYTES + 1).decode("ascii")
    except OSError as error:
        raise _refused(file, (error.strerror or str(error)).lower()) from error
    except ValueError as error:
        raise _refused(file, "is not ASCII text") from error
    if len(text) > MAX_SETTINGS_BYTES:
        raise _refused(file, f"has over {MAX_SETTINGS_BYTES} bytes")
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise _refused(file, "group or others may write it: run chmod go-w on it")
    return _parse(file, text)


def add_key(file: Path, name: str) -> str:
    """Add a new key to ``file``, which is created if missing, and return it. Raises KeysRefused."""
    if not NAME.fullmatch(name):
        raise KeysRefused(f"{name!r} is not a valid key name: use up to 64 letters, digits and ._-")
    with _changing(file) as lines:
        if name in _names(lines):
            raise _refused(
                file, f"{name} has a key already: remove it first or choose another name"
            )
        key = make_key()
        lines.append(f"{name} {digest(key.encode()).hex()}")
    return key


def remove_key(file: Path, name: str) -> None:
    """Remove the key ``name`` from ``file``. Raises KeysRefused where there is none."""
    with _changing(file) as lines:
        if name not in _names(lines):
            raise _refused(file, f"there is no key {name}")
        lines[:] = [line for line in lines if line.split()[:1] != [name]]


def _parse(file: Path, text: str) -> Keys:
    keys: dict[str, bytes] = {}
    for number, line in enumerate(text.splitlines(), 1):
        content = _content(line)
        if not content:
            continue
        found = LINE.fullmatch(content)
        if not found:
            raise _refused(file, f"line {number} is not a name and the SHA-256 of a key")
        name, known = found[1], bytes.fromhex(found[2])
        if name in keys or known in keys.values():
            raise _refused(file, f"line {number} repeats a name or a key")
        keys[name] = known
    if len(keys) > MOST_KEYS:
        raise _refused(file, f"has more than {MOST_KEYS} keys")
    return MappingProxyType(keys)


def _names(lines: list[str]) -> set[str]:
    return {content.split()[0] for line in lines if (content := _content(line))}


def _content(line: str) -> str:
    """A line without its comment: no name and no SHA-256 has a #."""
    return line.partition("#")[0].strip()


@contextmanager
def _changing(file: Path) -> Iterator[list[str]]:
    """The lines of ``file``, to be changed. Readers see all of the change or nothing."""
    try:
        file = file.resolve()  # a link stays one
        with locked(file.parent):
            exists = os.path.lexists(file)
            if exists:
                read_keys(file)
            lines = _lines(file) if exists else []
            yield lines
            _replace(file, "".join(f"{line}\n" for line in lines))
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
        reason = error.strerror if isinstance(error, OSError) else "links lead in a circle"
        raise _refused(file, (reason or str(error)).lower()) from error


def _lines(file: Path) -> list[str]:
    return read_regular(file, MAX_SETTINGS_BYTES).decode("ascii").splitlines()


def _replace(file: Path, text: str) -> None:
    """Replace ``file``, keeping its mode and owner; a new one only its owner can read."""
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")  # mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as written:
            if file.exists():
                before = file.stat()
                os.fchmod(descriptor, stat.S_IMODE(before.st_mode))
                os.fchown(descriptor, before.st_uid, before.st_gid)
            written.write(text)
            written.flush()
            os.fsync(descriptor)
        os.replace(name, file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _refused(file: Path, reason: str) -> KeysRefused:
    return KeysRefused(f"key file {file}: {reason}")


class KeyFile:
    """The keys of ``file``, read again when it has changed.

    A change that is refused leaves the keys as they were, and logs a line. The constructor raises
    KeysRefused for a file that is refused, unless ``patient``: then no key is valid until the file
    is.
    """

    def __init__(self, file: Path, patient: bool = False) -> None:
        self.file = file
        self._seen = self._signature()
        self._keys: Keys = {}
        self._checked = time.monotonic()
        if patient:
            self._read()
        else:
            self._keys = read_keys(file)

    def name_of(self, headers: Iterable[tuple[bytes, bytes]]) -> str | None:
        """The name of the key in a request's ``headers``; None without one that is known."""
        self._check()
        sent = [value for name, value in headers if name == b"authorization"]
        if len(sent) != 1 or sent[0][: len(SCHEME)].lower() != SCHEME:
            return None
        return find_name(self._keys, sent[0][len(SCHEME) :].strip())

    def _check(self) -> None:
        now = time.monotonic()
        if now - self._checked < CHECK_SECONDS:
            return
        self._checked = now
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
            log.error("keys refused, the previous keys stay", kept=kept, reason=str(refused))  # noqa: TRY400
        else:
            log.info("keys read", file=str(self.file), keys=len(self._keys))

    def _signature(self) -> Signature:
        """What changes whenever the file does; None where there is none."""
        try:
            found = self.file.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_size
