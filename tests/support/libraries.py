"""Pretend that a library has another version."""

from pathlib import Path


def install(directory: Path, package: str, version: str) -> None:
    """What pip leaves of a package, as far as its version is asked for."""
    told = directory / f"{package}-{version}.dist-info"
    told.mkdir()
    (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
