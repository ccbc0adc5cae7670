"""The minimum versions of libraries: older ones have a known vulnerability."""

from collections.abc import Collection
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

from packaging.version import Version

from greengrocer.errors import OutdatedLibrary


class MinimumVersion(NamedTuple):
    """The first safe version of a library that handles uploads, requests or models."""

    package: str
    version: str  # the first without the vulnerability
    vulnerability: str
    extra: str = ""  # the extra that needs it; "": every installation has it


MINIMUM_VERSIONS = (
    MinimumVersion("pillow", "13.0.0", "CVE-2026-112403, a JPEG that makes it write past a buffer"),
    MinimumVersion(
        "starlette", "1.5.1", "CVE-2026-48710, a Host that changes the path, and others"
    ),
    MinimumVersion("orjson", "3.11.6", "CVE-2025-67221, unlimited recursion"),
    MinimumVersion("h11", "0.16.0", "CVE-2025-43859, chunk ends that are not checked"),
    MinimumVersion(
        "pillow-heif", "1.4.0", "CVE-2026-32882, an image that makes it read past a buffer"
    ),
    MinimumVersion(
        "onnx", "1.21.0", "CVE-2026-34447, a model that makes it read other files", "train"
    ),
    MinimumVersion(
        "onnx", "1.21.0", "CVE-2026-34447, a model that makes it read other files", "quick"
    ),
    MinimumVersion(
        "onnx", "1.21.0", "CVE-2026-34447, a model that makes it read other files", "import"
    ),
    MinimumVersion("torch", "2.6", "CVE-2025-32434, weights that run code", "torch"),
)


def check_minimum_versions(extras: Collection[str] = ()) -> None:
    """Check the installed libraries that every installation, or one of ``extras``, needs.

    Libraries that are not installed are ignored. Raises OutdatedLibrary, in one line for all.
    """
    old = [
        (minimum, found)
        for minimum in MINIMUM_VERSIONS
        if (not minimum.extra or minimum.extra in extras)
        and (found := _installed(minimum.package)) is not None
        and Version(found) < Version(minimum.version)
    ]
    if old:
        vulnerabilities = "; ".join(
            f"{each.package} {found} has a known vulnerability: {each.vulnerability}"
            for each, found in old
        )
        wanted = " ".join(f"'{each.package}>={each.version}'" for each, _ in old)
        raise OutdatedLibrary(f"{vulnerabilities}; upgrade it: pip install {wanted}")


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
