"""Which images trained a model: the start of each one's SHA-256, in a file of its bundle.

8 bytes an image, sorted. By them an evaluation recognises images that trained the model; the bundle
contains neither the images nor their names.
"""

from collections.abc import Iterable

from greengrocer.bundles.bundle import Bundle
from greengrocer.bundles.files import refused

TRAINED_ON = "trained_on.bin"
LENGTH = 8  # bytes; among a million that trained and a million others, 1 in 18 million is mistaken


def pack(digests: Iterable[str]) -> bytes:
    """The content of the file for images with these SHA-256, in hexadecimal."""
    return b"".join(sorted({_start(digest) for digest in digests}))


class TrainedOn:
    """The set of images that the file ``packed`` lists."""

    def __init__(self, packed: bytes) -> None:
        starts = range(0, len(packed), LENGTH)
        self._digests = frozenset(packed[start : start + LENGTH] for start in starts)

    def __contains__(self, digest: str) -> bool:
        return _start(digest) in self._digests


def read_trained_on(bundle: Bundle) -> TrainedOn | None:
    """Which images trained the model of ``bundle``; None where it does not say.

    Raises BundleRefused where the file is malformed.
    """
    if TRAINED_ON not in bundle.manifest.files:
        return None
    packed = bundle.read(TRAINED_ON)
    if len(packed) % LENGTH:
        raise refused(bundle.directory, TRAINED_ON, f"is not a list of digests of {LENGTH} bytes")
    return TrainedOn(packed)


def _start(digest: str) -> bytes:
    return bytes.fromhex(digest[: 2 * LENGTH])
