"""Exemplars of several processes: prometheus_client shares its values, and not these.

Each process writes its exemplars to a file of its own, beside the library's files.
"""

import json
import mmap
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import Any

from prometheus_client.samples import Exemplar

RECORD = 256  # bytes: longer labels have no exemplar
RECORDS = 1024  # of a process; further buckets have no exemplar
SUFFIX = ".exemplars"
_CHECKSUM = struct.Struct("<I")


class ExemplarFile:
    """The last exemplar of each bucket of one process, in its file in ``directory``.

    Raises OSError where that cannot be written. An earlier process's exemplars go.
    """

    def __init__(self, directory: Path, slot: str) -> None:
        self._places: dict[str, int] = {}
        self._lock = Lock()
        path = directory / f"{slot}{SUFFIX}"
        with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
            file.write(bytes(RECORD * RECORDS))  # on a full disk a hole would end the process later
            file.flush()
            self._map = mmap.mmap(file.fileno(), RECORD * RECORDS)

    def write(self, key: str, exemplar: Exemplar) -> None:
        """Replace the exemplar of a bucket; ``key`` is the library's, which has name and labels."""
        _, name, labels, _ = json.loads(key)
        fields = [name, labels, exemplar.labels, exemplar.value, exemplar.timestamp]
        text = json.dumps(fields, separators=(",", ":")).encode()
        if len(text) > RECORD - _CHECKSUM.size:
            return
        with self._lock:
            place = self._places.setdefault(key, len(self._places))
            if place < RECORDS:
                content = text.ljust(RECORD - _CHECKSUM.size)
                record = _CHECKSUM.pack(zlib.crc32(content)) + content
                self._map[RECORD * place : RECORD * (place + 1)] = record


Bucket = tuple[str, frozenset[tuple[str, str]]]  # the name of its series, and its labels


def read_exemplars(directory: Path) -> dict[Bucket, Exemplar]:
    """The newest exemplar of each bucket, of all processes."""
    found: dict[Bucket, Exemplar] = {}
    for path in directory.glob(f"*{SUFFIX}"):
        for name, labels, *rest in _records(path.read_bytes()):
            bucket, exemplar = (name, frozenset(labels.items())), Exemplar(*rest)
            if bucket not in found or _time_of(found[bucket]) < _time_of(exemplar):
                found[bucket] = exemplar
    return found


def _time_of(exemplar: Exemplar) -> float:
    """When it was written, in seconds since 1970."""
    return float(exemplar.timestamp or 0)


def _records(data: bytes) -> Iterator[list[Any]]:
    """The records of a file, without those that are being written."""
    for start in range(0, len(data), RECORD):
        content = data[start + _CHECKSUM.size : start + RECORD]
        if not content.rstrip(b"\0"):
            return
        if _CHECKSUM.unpack_from(data, start) == (zlib.crc32(content),):
            yield json.loads(content)
