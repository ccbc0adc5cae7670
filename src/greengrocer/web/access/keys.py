"""API keys: random texts that clients hold, and a file of their names and SHA-256.

A key is 256 random bits. Nobody finds one by trying, so its hash need not be slow, and may be
computed for every request.
"""

import hmac
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType

from greengrocer.errors import KeysRefused
from greengrocer.locks import locked
from greengrocer.regular_files import MAX_SETTINGS_BYTES, open_regular, read_regular

PREFIX = "gg_"  # by which people, and programs that look for leaked keys, know one
RANDOM_BYTES = 32
MOST_KEYS = 1000  # each is compared with what comes
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
LINE = re.compile(rf"({NAME.pattern})\s+([0-9a-f]{{64}})")

Keys = Mapping[str, bytes]  # SHA-256 by name


def make_key() -> str:
    """A new key."""
    return PREFIX + secrets.token_urlsafe(RANDOM_BYTES)


def digest(key: bytes) -> bytes:
    """What is kept of a key: its SHA-256."""
    return sha256(key).digest()


def find_name(keys: Keys, key: bytes) -> str | None:
    """The name of ``key``, or None; as long for one key as for another."""
    came, found = digest(key), None
    for name, known in keys.items():
        if hmac.compare_digest(came, known):
            found = name
    return found


def read_keys(file: Path) -> Keys:
    """The keys of ``file``: a line for each, its name and its SHA-256 in hexadecimal.

    Raises KeysRefused, in one line, for what is malformed or what others could have written.
    """
    try:
        with open_regular(file) as opened:
            mode = os.fstat(opened.fileno()).st_mode
            text = opened.read(MAX_SETTINGS_BYTES + 1).decode("ascii")
    except OSError as error:
        raise _refused(file, (error.strerror or str(error)).lower()) from error
    except ValueError as error:
        raise _refused(file, "is no text in ASCII") from error
    if len(text) > MAX_SETTINGS_BYTES:
        raise _refused(file, f"has over {MAX_SETTINGS_BYTES} bytes")
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise _refused(file, "others may write it, and so let themselves in: chmod go-w")
    return _parse(file, text)


def add_key(file: Path, name: str) -> str:
    """Add a new key to ``file``, which is made if need be, and return it. Raises KeysRefused."""
    if not NAME.fullmatch(name):
        raise KeysRefused(f"{name!r} is no name: up to 64 letters, digits and ._- will do")
    with _changing(file) as lines:
        if name in _names(lines):
            raise _refused(file, f"{name} has a key already: remove it first, or take another name")
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
        if not line.strip() or line.startswith("#"):
            continue
        found = LINE.fullmatch(line.strip())
        if not found:
            raise _refused(file, f"line {number} is no name with the SHA-256 of a key")
        name, known = found[1], bytes.fromhex(found[2])
        if name in keys or known in keys.values():
            raise _refused(file, f"line {number} has a name or a key that came before")
        keys[name] = known
    if len(keys) > MOST_KEYS:
        raise _refused(file, f"has more than {MOST_KEYS} keys")
    return MappingProxyType(keys)


def _names(lines: list[str]) -> set[str]:
    return {line.split()[0] for line in lines if line.strip() and not line.startswith("#")}


@contextmanager
def _changing(file: Path) -> Iterator[list[str]]:
    """The lines of ``file``, to be changed: whoever reads it sees all of the change or nothing."""
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
    """Put a file in the place of ``file`` that its owner, and whoever could before, can read."""
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
