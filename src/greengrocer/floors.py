"""The oldest versions of other people's libraries that may run: what is older has a known hole."""

from collections.abc import Collection
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

from packaging.version import Version

from greengrocer.errors import OutdatedLibrary


class Floor(NamedTuple):
    """A library that a stranger's bytes, or a bundle's, may reach."""

    package: str
    version: str  # the first that may run
    hole: str  # of what is older
    extra: str = ""  # the extra of ours that brings it; "": every installation has it


FLOORS = (
    Floor("pillow", "13.0.0", "CVE-2026-112403, a JPEG that writes past a buffer"),
    Floor("starlette", "1.5.1", "CVE-2026-48710, a Host that changes the path, and others"),
    Floor("orjson", "3.11.6", "CVE-2025-67221, a recursion without an end"),
    Floor("h11", "0.16.0", "CVE-2025-43859, chunks whose ends are not looked at"),
    Floor("pillow-heif", "1.4.0", "CVE-2026-32882, an image that reads past a buffer"),
    Floor("onnx", "1.21.0", "CVE-2026-34447, a model that reads files beside it", "train"),
    Floor("torch", "2.6", "CVE-2025-32434, weights that run code", "torch"),
)


def check_floors(extras: Collection[str] = ()) -> None:
    """Refuse libraries of every installation, and of ``extras``, that are below their floors.

    What is not installed is no danger. Raises OutdatedLibrary, in one line for all.
    """
    old = [
        (floor, found)
        for floor in FLOORS
        if (not floor.extra or floor.extra in extras)
        and (found := _installed(floor.package)) is not None
        and Version(found) < Version(floor.version)
    ]
    if old:
        holes = "; ".join(
            f"{each.package} {found} has a known vulnerability: {each.hole}" for each, found in old
        )
        wanted = " ".join(f"'{each.package}>={each.version}'" for each, _ in old)
        raise OutdatedLibrary(f"{holes}; upgrade it: pip install {wanted}")


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
