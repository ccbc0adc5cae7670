"""Find a bundle by name or directory and verify it, byte for byte."""

import hashlib
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from greengrocer.bundles.manifest import WEIGHTS, Manifest, read_manifest
from greengrocer.errors import BundleRefused

# What a distribution may leave out: only the torch engine reads them.
OPTIONAL = frozenset({WEIGHTS})


class Bundle(NamedTuple):
    """A verified bundle and where it lies."""

    directory: Path
    manifest: Manifest


def find_bundle(name_or_directory: str) -> Path:
    """The directory of a bundle that ships with the product, or of one that a person names.

    Raises BundleRefused where there is neither.
    """
    shipped = shipped_bundles()
    if name_or_directory in shipped:
        return shipped[name_or_directory]
    directory = Path(name_or_directory)
    if directory.is_dir():
        return directory
    raise BundleRefused(
        f"there is no bundle {name_or_directory!r}: name one of {', '.join(shipped)}, "
        "or a bundle's directory"
    )


def shipped_bundles() -> dict[str, Path]:
    """The bundles that ship with the product, by name."""
    home = Path(str(files("greengrocer") / "bundled"))
    return {path.parent.name: path.parent for path in sorted(home.glob("*/manifest.json"))}


def load_bundle(directory: Path) -> Bundle:
    """Read the manifest and hold every file against its digest.

    Raises BundleRefused, in one line, for whatever is missing, linked, or not what was signed for.
    """
    manifest = read_manifest(directory)
    for name, digest in manifest.files.items():
        path = directory / name
        if name in OPTIONAL and not path.exists():
            continue
        _verify(directory, path, digest)
    return Bundle(directory, manifest)


def _verify(directory: Path, path: Path, digest: str) -> None:
    if path.is_symlink() or not path.resolve().is_relative_to(directory.resolve()):
        raise BundleRefused(f"bundle {directory}: {path.name} is a link")
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BundleRefused(f"bundle {directory}: {path.name}: {error.strerror}") from error
    if found != digest:
        raise BundleRefused(
            f"bundle {directory}: {path.name} has the SHA-256 {found[:12]}..., "
            f"not {digest[:12]}... as the manifest says: fetch or export it anew"
        )
