import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tools.check_floors import requirements

from support.dockerfile import Build, Image

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"


@pytest.fixture(scope="session")
def image() -> Iterator[Image]:
    """What the Dockerfile builds, where any user may look: pytest's own directories are private."""
    with built() as image:
        yield image


@contextmanager
def built(**arguments: str) -> Iterator[Image]:
    """The image with these arguments of the build's."""
    work = Path(tempfile.mkdtemp(prefix="greengrocer-image-"))
    work.chmod(0o755)
    base = work / "base"
    base.mkdir()
    (base / "python").symlink_to(python_for_everyone())
    try:
        yield Build(DOCKERFILE, ROOT, base, work, **arguments).run()
    finally:
        shutil.rmtree(work)


@pytest.fixture
def image_with_torch() -> Iterator[Image]:
    """The same with PyTorch, for a GPU."""
    with built(ENGINE="torch") as image:
        yield image


@pytest.fixture(scope="session")
def pinned() -> dict[str, str]:
    """The version of every package that serving needs, by name, for this Python."""
    wanted = map(Requirement, requirements(ROOT / "requirements" / "serve.txt"))
    return {
        canonicalize_name(each.name): next(iter(each.specifier)).version
        for each in wanted
        if each.marker is None or each.marker.evaluate()
    }


def python_for_everyone() -> Path:
    """This Python, or else the system's, that users other than ours may run as well."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for home in (Path(sys.base_prefix), Path("/usr/local"), Path("/usr")):
        program = (home / "bin" / version).resolve()
        if program.exists() and all(each.stat().st_mode & 0o001 for each in program.parents):
            return program
    assert "REQUIRE_DEBIAN_PROGRAMS" not in os.environ, "no Python that other users may run"
    pytest.skip(f"{version} is in a directory that only its owner may enter")
