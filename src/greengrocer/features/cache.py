"""Features that were computed before, in the user's cache folder: one small file an image.

A file's name is the image's SHA-256, its folder the backbone's: neither can be taken for another.
"""

import contextlib
import os
import tempfile
from pathlib import Path

import numpy as np

from greengrocer.datasets.cache_folder import own_cache
from greengrocer.engines.engine import Floats
from greengrocer.regular_files import read_regular


class FeatureCache:
    """The features of one backbone. A cache that cannot be read or written is done without."""

    def __init__(self, backbone: str, channels: int) -> None:
        """``backbone`` is its SHA-256 in hexadecimal; a row has ``channels`` features.

        Raises UsageError where the cache folder is another user's.
        """
        self._directory = own_cache("features") / backbone[:16]
        self._bytes = 4 * channels

    def get(self, digest: str) -> Floats | None:
        """The features float32 [channels] of the image with this SHA-256, where they are kept."""
        try:
            row = read_regular(self._path(digest), self._bytes)
        except OSError:
            return None
        if len(row) != self._bytes:
            return None
        found = np.frombuffer(row, "<f4").astype(np.float32)
        return found if np.isfinite(found).all() else None

    def put(self, digest: str, features: Floats) -> None:
        """Keep ``features`` float32 [channels]: whole, or not at all."""
        path = self._path(digest)
        with contextlib.suppress(OSError):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, unfinished = tempfile.mkstemp(dir=path.parent)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(features.astype("<f4").tobytes())
                Path(unfinished).replace(path)
            except OSError:
                Path(unfinished).unlink(missing_ok=True)

    def _path(self, digest: str) -> Path:
        return self._directory / digest[:2] / digest[2:]
