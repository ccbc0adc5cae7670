"""The folder of fetched bundles, each under the digest of its manifest.

A bundle appears in it whole. The most recently used ones stay.
"""

import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from greengrocer.bundles.bundle import digest_of, load_bundle
from greengrocer.bundles.files import refused
from greengrocer.bundles.manifest import MANIFEST
from greengrocer.datasets.cache_folder import own_cache
from greengrocer.errors import BundleRefused, UsageError
from greengrocer.stores.interruptible import LOOK, pause

KEPT = 10  # bundles, of 200 MB at most
IN_USE_SECONDS = 3600.0  # one that was used since is never removed: a service may be loading it
LEFT_SECONDS = 7 * 86400.0  # a broken download may be resumed for so long
PARTIAL = ".partial"

_WHOLE = re.compile(r"[0-9a-f]{64}")
_UNFINISHED = re.compile(r"[0-9a-f]{64}\.partial")


class BundleCache:
    """Bundles by the digest of their manifest, below ``folder``; by default the user's cache."""

    def __init__(self, folder: Path | None = None) -> None:
        """Raises UsageError where the user's cache folder is another user's."""
        self.folder = own_cache("bundles") if folder is None else folder

    def find(self, digest: str) -> Path | None:
        """The directory of a bundle that is whole and undamaged; a damaged one is removed."""
        directory = self.folder / digest
        try:
            if not directory.is_dir():
                return None
            check(directory, digest)
            os.utime(directory)
        except BundleRefused:
            shutil.rmtree(directory, ignore_errors=True)
            return None
        except OSError:  # it may be read here, and not be written
            pass
        return directory

    @contextmanager
    def unfinished(self, digest: str) -> Iterator[Path]:
        """The folder to download a bundle into, this process's alone inside the ``with`` block.

        It holds what an earlier download has left, and is removed where nothing is left to resume.
        Raises UsageError where it cannot be written, and CancelledError where it is not wanted any
        more, by the time that no other process has it.
        """
        with self._writable():
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._tidy()
            folder = self.folder / f"{digest}{PARTIAL}"
            descriptor = _lock(folder)
            try:
                yield folder
            finally:
                try:
                    if _is_at(descriptor, folder) and not _resumable(folder):  # and no bundle yet
                        shutil.rmtree(folder, ignore_errors=True)
                finally:
                    os.close(descriptor)

    def keep(self, digest: str) -> Path:
        """Check what was downloaded, and make it a bundle of the cache.

        Raises BundleRefused where it is not what its manifest says; it is removed then.
        """
        unfinished, directory = self.folder / f"{digest}{PARTIAL}", self.folder / digest
        try:
            check(unfinished, digest)
        except BundleRefused:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        os.utime(unfinished)
        unfinished.rename(directory)
        return directory

    @contextmanager
    def _writable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UsageError(
                f"cannot write to the folder of fetched bundles {self.folder}: "
                f"{error.strerror or error}; make room, or name another folder by --bundle-cache "
                "(serve) or the variable XDG_CACHE_HOME"
            ) from error

    def _tidy(self) -> None:
        """Remove the bundles that were used longest ago, and downloads that were given up."""
        now = time.time()
        ages = {}
        for each in self.folder.iterdir():
            with suppress(OSError):  # another process has just removed it
                ages[each] = now - each.stat().st_mtime
        whole = sorted((each for each in ages if _WHOLE.fullmatch(each.name)), key=ages.__getitem__)
        for each in whole[KEPT:]:
            if ages[each] > IN_USE_SECONDS:
                shutil.rmtree(each, ignore_errors=True)
        for each, age in ages.items():
            if _UNFINISHED.fullmatch(each.name) and age > LEFT_SECONDS:
                shutil.rmtree(each, ignore_errors=True)


def check(directory: Path, digest: str) -> None:
    """Raise BundleRefused unless the manifest has this digest, and the files those in it."""
    if digest_of(directory) != digest:
        raise refused(directory, MANIFEST, f"does not have the SHA-256 {digest[:12]}...")
    load_bundle(directory)


def _resumable(folder: Path) -> bool:
    """Whether a download has left a part of a file other than the manifest."""
    return any(
        path.is_file() and path.stat().st_size
        for path in folder.rglob("*")
        if path != folder / MANIFEST
    )


def _lock(folder: Path) -> int:
    """The descriptor that locks ``folder``, which is made; waits for another process's download.

    That process may have renamed or removed the folder meanwhile: then it is made again.
    """
    while True:
        folder.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            _wait_for(descriptor)
            if _is_at(descriptor, folder):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is_at(descriptor: int, folder: Path) -> bool:
    """Whether the folder of this descriptor still has its name."""
    try:
        return os.path.samestat(os.fstat(descriptor), folder.stat())
    except FileNotFoundError:
        return False


def _wait_for(descriptor: int) -> None:
    """Lock a folder, once no other process does; raises CancelledError, as ``pause`` does."""
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pause(LOOK)
        except OSError:  # a network file system without locks
            return
        else:
            return
