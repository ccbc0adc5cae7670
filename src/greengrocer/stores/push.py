"""Write a bundle to a store: its manifest comes last, so that nobody finds half of a bundle."""

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

from greengrocer.bundles.bundle import OPTIONAL, Bundle
from greengrocer.bundles.files import read
from greengrocer.bundles.manifest import MANIFEST, MAX_MANIFEST_BYTES
from greengrocer.datasets.progress import bytes_bar
from greengrocer.errors import UsageError
from greengrocer.stores.address import Address
from greengrocer.stores.open_store import open_store


class Pushed(NamedTuple):
    """Where a bundle is: the address with its digest; and whether it was written there just now."""

    address: str
    written: bool


def push(bundle: Bundle, address: Address, *, replace: bool = False) -> Pushed:
    """Write ``bundle`` to ``address``.

    The same bundle is not written again, and another one stays. With ``replace`` every file is
    written, whatever is there, which repairs a damaged bundle; a reader is refused until all of it
    is there.

    Raises UsageError, in one line: StoreFailed where the store is out of reach or refuses,
    BundleRefused where a file has changed since the bundle was verified, MissingExtra.
    """
    if address.scheme == "https":
        raise UsageError(f"{address}: a bundle is pushed to s3://, gs:// or az://")
    if address.digest is not None:
        raise UsageError(f"{address}: name no digest, it is that of the bundle")
    text = read(bundle.directory, MANIFEST, MAX_MANIFEST_BYTES)
    pinned = address.pinned(hashlib.sha256(text).hexdigest())
    store = open_store(address)
    there = store.read(MANIFEST, MAX_MANIFEST_BYTES)
    if there == text and not replace:
        return Pushed(pinned, written=False)
    if there is not None and not replace:
        raise UsageError(
            f"another bundle is at {address}, with the digest {hashlib.sha256(there).hexdigest()}: "
            "name another address, or replace it by --replace"
        )
    names = list(_names(bundle))
    sizes = [(bundle.directory / name).stat().st_size for name in names]
    with bytes_bar("Pushing", sum(sizes)) as advance:
        for name in names:
            content = bundle.read(name)
            store.write(name, content)
            advance(len(content))
    store.write(MANIFEST, text)
    return Pushed(pinned, written=True)


def _names(bundle: Bundle) -> Iterator[str]:
    """The files that are there: a distribution leaves out some."""
    for name in bundle.manifest.files:
        if name not in OPTIONAL or (bundle.directory / name).exists():
            yield name
