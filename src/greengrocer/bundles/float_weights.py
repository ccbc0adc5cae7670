"""The float weights of the bundles that ship: a package of their own, for the engine torch."""

import hashlib
from importlib.resources import files
from pathlib import Path

from greengrocer.bundles.bundle import read_verified, shipped_bundles
from greengrocer.bundles.manifest import WEIGHTS, Manifest
from greengrocer.errors import BundleRefused, MissingExtra
from greengrocer.version import __version__

PACKAGE = "greengrocer_weights"
EXTRA = "torch"


def read_weights(directory: Path, manifest: Manifest) -> bytes:
    """The float weights of the bundle in ``directory``: its own file, or the package's.

    The package's are used if they have the digest that the manifest says. Raises MissingExtra
    where the bundle ships with the product and the package is not installed, and BundleRefused, in
    one line, where there are no weights.
    """
    if (directory / WEIGHTS).exists():
        return read_verified(directory, manifest, WEIGHTS)
    found = _packaged(manifest.name)
    if found is not None and hashlib.sha256(found).hexdigest() == manifest.files.get(WEIGHTS):
        return found
    if directory.resolve() not in {each.resolve() for each in shipped_bundles().values()}:
        raise BundleRefused(
            f"bundle {directory} has no {WEIGHTS}, which the engine torch runs: copy the whole "
            "bundle from where it was trained, or use the engine onnx"
        )
    if found is None:
        raise MissingExtra(f"the engine torch, with the bundle {manifest.name},", extra=EXTRA)
    raise BundleRefused(
        f"the package greengrocer-weights has another version: "
        f"pip install 'greengrocer-weights=={__version__}'"
    )


def _packaged(name: str) -> bytes | None:
    try:
        return files(PACKAGE).joinpath(name, WEIGHTS).read_bytes()
    except (ModuleNotFoundError, FileNotFoundError):
        return None
