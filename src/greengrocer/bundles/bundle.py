"""Find a bundle by name or directory and verify it, byte for byte."""

import hashlib
import os
from importlib.resources import files
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple

from greengrocer.bundles.files import MAX_BYTES, opened, read, refused
from greengrocer.bundles.manifest import (
    MANIFEST,
    MAX_MANIFEST_BYTES,
    STATISTICS,
    WEIGHTS,
    Manifest,
    read_manifest,
    write_manifest,
)
from greengrocer.errors import BundleRefused
from greengrocer.safe_text import without_secrets

# What a distribution may leave out: the torch engine reads the weights, `teach` the statistics.
OPTIONAL = frozenset({WEIGHTS, STATISTICS})
AGAIN = "fetch or export it again"  # what to do about a damaged file


class Bundle(NamedTuple):
    """A verified bundle and where it lies."""

    directory: Path
    manifest: Manifest

    def read(self, name: str, most: int = MAX_BYTES) -> bytes:
        """One of its files; raises BundleRefused where it has changed since it was verified."""
        return read_verified(self.directory, self.manifest, name, most)

    def copy_to(self, directory: Path) -> None:
        """Write a bundle of the same contents to the new ``directory``.

        Raises BundleRefused for a file that has changed since it was verified, and OSError.
        """
        directory.mkdir(mode=0o700)
        for name in self.manifest.files:
            if name == STATISTICS:  # serving, which copies, never reads them
                continue
            if name in OPTIONAL and not (self.directory / name).exists():
                continue
            path = directory / name
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.write_bytes(self.read(name))
        write_manifest(self.manifest, directory)


def find_bundle(name_or_directory: str) -> Path:
    """The directory of a bundle: one that ships with the product, by name, or any directory.

    Raises BundleRefused where there is no such bundle.
    """
    shipped = shipped_bundles()
    if name_or_directory in shipped:
        return shipped[name_or_directory]
    if not name_or_directory:
        raise BundleRefused(f"the bundle's name is empty: name one of {', '.join(shipped)}")
    directory = Path(name_or_directory)
    try:
        is_directory, exists = directory.is_dir(), directory.exists()
    except OSError as error:  # too long a name, or no permission to look
        raise BundleRefused(f"bundle {directory}: {error.strerror or error}") from error
    if is_directory:
        return directory
    if exists:
        raise BundleRefused(f"{directory} is not a directory: if it is an archive, unpack it first")
    shown = without_secrets(name_or_directory)
    if directory.is_absolute():
        raise BundleRefused(f"there is no bundle {shown!r}: its directory is missing")
    raise BundleRefused(
        f"there is no bundle {shown!r}: name one of {', '.join(shipped)}, "
        "or a bundle's directory or address"
    )


def shipped_bundles() -> dict[str, Path]:
    """The bundles that ship with the product, by name."""
    home = Path(str(files("greengrocer") / "bundled"))
    return {path.parent.name: path.parent for path in sorted(home.glob("*/manifest.json"))}


def load_bundle(directory: Path) -> Bundle:
    """Read the manifest and compare every file with its digest.

    Raises BundleRefused, in one line, for a file that is missing, not regular, too large, or does
    not have the digest in the manifest.
    """
    manifest = read_manifest(directory)
    size = 0
    for name, digest in manifest.files.items():
        if name in OPTIONAL and not (directory / name).exists():
            continue
        with opened(directory, name) as file:
            size += os.fstat(file.fileno()).st_size
            if size > MAX_BYTES:
                raise refused(directory, name, f"makes it larger than {MAX_BYTES} bytes")
            _verify(directory, name, digest, file)
    return Bundle(directory, manifest)


def digest_of(directory: Path) -> str:
    """The SHA-256 of a bundle's manifest, in hexadecimal: it fixes every file of the bundle.

    Raises BundleRefused.
    """
    return hashlib.sha256(read(directory, MANIFEST, MAX_MANIFEST_BYTES)).hexdigest()


def read_verified(directory: Path, manifest: Manifest, name: str, most: int = MAX_BYTES) -> bytes:
    """The bytes of a file of the bundle, compared with its digest in ``manifest``.

    Every use of a file reads it here: on the disk it may have changed since it was verified.
    Raises BundleRefused.
    """
    data = read(directory, name, most)
    _check_digest(directory, name, manifest.files[name], hashlib.sha256(data).hexdigest())
    return data


def _verify(directory: Path, name: str, digest: str, file: BufferedReader) -> None:
    found = hashlib.file_digest(file, "sha256").hexdigest()
    _check_digest(directory, name, digest, found)


def _check_digest(directory: Path, name: str, digest: str, found: str) -> None:
    if found != digest:
        raise refused(
            directory,
            name,
            f"has the SHA-256 {found[:12]}..., not {digest[:12]}... as the manifest says: {AGAIN}",
        )
