"""Which images trained a model: the start of each one's SHA-256, in a file of its bundle.

8 bytes an image, sorted. So that an evaluation can tell whether it scores what the model has seen,
without an image, or its name, in the bundle.
"""

from collections.abc import Iterable

from greengrocer.bundles.bundle import Bundle
from greengrocer.bundles.files import refused

TRAINED_ON = "trained_on.bin"
LENGTH = 8  # bytes; among a million that trained and a million others, 1 in 18 million is mistaken


def pack(digests: Iterable[str]) -> bytes:
    """The file that tells of images with these SHA-256, in hexadecimal."""
    return b"".join(sorted({_start(digest) for digest in digests}))


class TrainedOn:
    """The images that the file ``packed`` tells of."""

    def __init__(self, packed: bytes) -> None:
        starts = range(0, len(packed), LENGTH)
        self._digests = frozenset(packed[start : start + LENGTH] for start in starts)

    def __contains__(self, digest: str) -> bool:
        return _start(digest) in self._digests


def read_trained_on(bundle: Bundle) -> TrainedOn | None:
    """Which images trained the model of ``bundle``; None where it does not tell.

    Raises BundleRefused where the file is no such list.
    """
    if TRAINED_ON not in bundle.manifest.files:
        return None
    packed = bundle.read(TRAINED_ON)
    if len(packed) % LENGTH:
        raise refused(bundle.directory, TRAINED_ON, f"is no list of digests of {LENGTH} bytes")
    return TrainedOn(packed)


def _start(digest: str) -> bytes:
    return bytes.fromhex(digest[: 2 * LENGTH])
