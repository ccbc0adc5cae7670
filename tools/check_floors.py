"""Check that what pyproject.toml allows, and what the requirements pin, is above the floors."""

import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from greengrocer.minimum_versions import MINIMUM_VERSIONS

LEAST = {">=", "==", "~="}  # what bounds a version from below
WANTED = {floor.package: Version(floor.version) for floor in MINIMUM_VERSIONS}


def complaints(source: str, lines: Iterable[str]) -> list[str]:
    """What lies below its floor among the requirements of a source."""
    found = []
    for line in lines:
        requirement = Requirement(line)
        floor = WANTED.get(canonicalize_name(requirement.name))
        bounds = [Version(s.version) for s in requirement.specifier if s.operator in LEAST]
        if floor is not None and max(bounds, default=Version("0")) < floor:
            found.append(f"{source}: {line} is below the floor {floor}")
    return found


def requirements(file: Path) -> list[str]:
    """The lines of a file of requirements, without comments and options."""
    lines = (line.partition("#")[0].strip() for line in file.read_text("utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("-")]


def declared(file: Path) -> list[str]:
    """What a pyproject.toml names, with all extras."""
    project = tomllib.loads(file.read_text("utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    return [*project["dependencies"], *(line for extra in extras for line in extra)]


def main() -> int:
    """Check all of them and return 1 if anything is below a floor."""
    pyproject, pinned = Path("pyproject.toml"), sorted(Path("requirements").glob("*.txt"))
    sources = {pyproject: declared(pyproject)} | {file: requirements(file) for file in pinned}
    found = [line for file, lines in sources.items() for line in complaints(str(file), lines)]
    sys.stdout.write(
        "\n".join([*found, f"{len(sources)} files, {len(MINIMUM_VERSIONS)} minimum versions"])
        + "\n"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
