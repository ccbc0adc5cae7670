"""Fetch a bundle: all of it is in the cache, verified, before anybody sees it."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from greengrocer.bundles.bundle import AGAIN, OPTIONAL, Bundle, find_bundle, load_bundle
from greengrocer.bundles.files import MAX_BYTES
from greengrocer.bundles.manifest import MANIFEST, MAX_MANIFEST_BYTES, Manifest, read_manifest
from greengrocer.datasets.progress import bytes_bar
from greengrocer.errors import BundleRefused
from greengrocer.stores.address import Address, is_address
from greengrocer.stores.cache import BundleCache
from greengrocer.stores.interruptible import interruptible
from greengrocer.stores.open_store import open_store

if TYPE_CHECKING:
    from greengrocer.stores.store import Store

# What to do about a damaged bundle: `push` alone finds the manifest of it, and writes nothing.
WRITE_AGAIN = "write all of it there again, as by `greengrocer push --replace`"


def fetched(
    source: str, cache: Path | None = None, begin: Callable[[str], None] = lambda _: None
) -> str:
    """The directory of the bundle at the address ``source``; a name or directory as it is.

    ``cache`` is the folder of fetched bundles, by default in the user's cache folder. An address
    with a digest that is there needs no connection. ``begin`` is called before a
    download, in its thread, with the address and the digest of the bundle.

    Raises UsageError, in one line: StoreFailed where the bundle cannot be read, BundleRefused where
    it is not one, or not the one with the digest, MissingExtra.
    """
    if not is_address(source):
        return source
    address, bundles = Address.parsed(source), BundleCache(cache)
    return str(interruptible(lambda: _fetch(address, bundles, begin)))


def open_bundle(source: str) -> Bundle:
    """The verified bundle that a command names: a shipped one, a directory's, or an address's.

    Raises UsageError, in one line, as ``fetched`` does.
    """
    return load_bundle(find_bundle(fetched(source)))


def _fetch(address: Address, cache: BundleCache, begin: Callable[[str], None]) -> Path:
    if address.digest is not None and (found := cache.find(address.digest)):
        return found
    store = open_store(address)
    text = store.read(MANIFEST, MAX_MANIFEST_BYTES)
    if text is None:
        raise BundleRefused(f"there is no bundle at {address}: it has no {MANIFEST}")
    digest = hashlib.sha256(text).hexdigest()
    if address.digest not in (None, digest):
        raise BundleRefused(
            f"the bundle at {address} has the digest {digest}, not {address.digest}: it is another "
            "version than the one that was named"
        )
    if found := cache.find(digest):
        return found
    with cache.unfinished(digest) as folder:
        if found := cache.find(digest):  # another process has fetched it meanwhile
            return found
        begin(address.pinned(digest))
        try:
            (folder / MANIFEST).write_bytes(text)
            _download(store, read_manifest(folder), folder)
            return cache.keep(digest)
        except BundleRefused as error:
            why = str(error).replace(str(folder), str(address))
            raise BundleRefused(why.replace(AGAIN, WRITE_AGAIN)) from error


def _download(store: "Store", manifest: Manifest, folder: Path) -> None:
    """Write the files of a bundle, or what is missing of them, into ``folder``."""
    sizes = _sizes(store, manifest)
    have = {name: _left(folder / name, size) for name, size in sizes.items()}
    with bytes_bar("Fetching", sum(sizes.values()), sum(have.values())) as advance:
        for name, size in sizes.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as file:
                for chunk in store.chunks(name, have[name]) if have[name] < size else ():
                    if file.tell() + len(chunk) > size:
                        raise _refused(store, f"{name} has more bytes than the server said")
                    file.write(chunk)
                    advance(len(chunk))


def _sizes(store: "Store", manifest: Manifest) -> dict[str, int]:
    """The bytes of each file, known before any is taken; raises BundleRefused."""
    sizes = {}
    for name in manifest.files:
        size = store.size(name)
        if size is not None:
            sizes[name] = size
        elif name not in OPTIONAL:
            raise _refused(store, f"{name} is missing: {WRITE_AGAIN}")
        if sum(sizes.values()) > MAX_BYTES:
            raise _refused(store, f"{name} makes it larger than {MAX_BYTES} bytes")
    return sizes


def _left(path: Path, size: int) -> int:
    """How many bytes of a file an earlier download has left."""
    try:
        have = path.stat().st_size
    except FileNotFoundError:
        return 0
    if have > size:
        path.unlink()
        return 0
    return have


def _refused(store: "Store", why: str) -> BundleRefused:
    return BundleRefused(f"bundle {store.address}: {why}")
