"""The list of the Grocery Store Dataset's files: which belong to it, and the digest of each."""

import gzip
from collections.abc import Container, Mapping
from importlib import resources
from pathlib import PurePosixPath

# A file's path from the data set's root, and its SHA-256 in hexadecimal.
Checksums = Mapping[str, str]

SHIPPED = "grocery-store-dataset.sha256.gz"


def shipped_checksums() -> Checksums:
    """Read the list that the product carries."""
    packed = resources.files(__package__).joinpath(SHIPPED).read_bytes()
    lines = gzip.decompress(packed).decode("utf-8").splitlines()
    return {path: digest for digest, path in (line.split("  ", maxsplit=1) for line in lines)}


def is_test(path: str) -> bool:
    """Whether a listed file belongs to the official test split."""
    return path == "dataset/test.txt" or path.startswith("dataset/test/")


def listed_path(name: str, wanted: Container[str]) -> str | None:
    """Which of the ``wanted`` paths an archive means by ``name``, perhaps one folder down."""
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts:
        return None
    for candidate in ("/".join(parts), "/".join(parts[1:])):
        if candidate in wanted:
            return candidate
    return None
